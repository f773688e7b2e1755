package subject

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// ConfigurationBucket is the KV bucket of configurations, hub_configurations.
func (n Names) ConfigurationBucket() string { return n.prefix() + "_configurations" }

// LeaseKey is the key, in the bucket of configurations, of the lease that the
// node has which writes for them. No id is encoded like that.
const LeaseKey = "node.lease"

// ConfigurationName is the name of the service of configurations as nats micro
// shows it.
func (n Names) ConfigurationName() string { return n.prefix() + "-configuration" }

// Configuration is the subject of one operation on a configuration:
// hub.configuration.{verb}.{id}, the id encoded as those of devices are.
func (n Names) Configuration(v Verb, id string) string {
	return n.ConfigurationVerb(v) + "." + EncodeToken(id)
}

// ConfigurationVerb is the subject of an operation without an id,
// hub.configuration.{verb}: listing the configurations.
func (n Names) ConfigurationVerb(v Verb) string { return n.prefix() + ".configuration." + string(v) }

// ConfigurationAll matches the subjects of all configurations:
// hub.configuration.{verb}.*.
func (n Names) ConfigurationAll(v Verb) string { return n.ConfigurationVerb(v) + ".*" }

// ParseConfiguration returns the id of the configuration that a subject of the
// verb ends with. It fails with [hub.ArgumentInvalid].
func (n Names) ParseConfiguration(v Verb, s string) (string, error) {
	token, ok := strings.CutPrefix(s, n.ConfigurationVerb(v)+".")
	if !ok {
		return "", hub.Errorf(hub.ArgumentInvalid, "%q does not begin with %s.", s, n.ConfigurationVerb(v))
	}
	return DecodeToken(token)
}
