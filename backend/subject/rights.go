package subject

import (
	"slices"
	"strings"
)

// Rights are the subjects that a NATS user of the hub's account may publish on
// and subscribe to; everything else is refused. docs/nats.md has them for
// people.
type Rights struct {
	Publish   []string
	Subscribe []string
}

// Inbox is the prefix of the inboxes of nodes and of the command line. It is
// another one than everybody's _INBOX, because device keys are in the answers
// that come there: whoever may subscribe to _INBOX.> sees the answers of all.
func (n Names) Inbox() string { return "_INBOX_" + n.prefix() }

// NodeRights is what a gateway needs. Names that only it uses are not spared:
// a node is the hub.
func (n Names) NodeRights() Rights {
	r := Rights{
		Publish:   []string{n.prefix() + ".>", "$JS.API.>", "$JS.ACK.>", "$JS.FC.>", "$SRV.>", n.Inbox() + ".>", "_INBOX.>"},
		Subscribe: []string{n.prefix() + ".>", "$SRV.>", n.Inbox() + ".>"},
	}
	for _, bucket := range n.Buckets() {
		r.Publish = append(r.Publish, "$KV."+bucket+".>")
	}
	return r
}

// OperatorRights is what the command line needs: everything that a back-end app
// may, and the registry with all keys.
func (n Names) OperatorRights() Rights {
	r := n.BackendRights()
	policies := "KV_" + n.PolicyBucket() // whose keys sign tokens
	r.Publish = append(r.Publish, "$JS.API.STREAM.INFO."+policies, "$JS.API.DIRECT.GET."+policies+".>")
	nodes := "KV_" + n.NodesBucket() // how the nodes are
	r.Publish = append(r.Publish, "$JS.API.STREAM.INFO."+nodes, "$JS.API.DIRECT.GET."+nodes, "$JS.API.DIRECT.GET."+nodes+".>")
	// The last is for sending a dead letter again.
	r.Publish = append(r.Publish, n.prefix()+".registry.>", n.prefix()+".authority.>", n.prefix()+".configuration.>", n.prefix()+".node.>", n.prefix()+".session.drain.*", n.NodeStates(), "$JS.API.STREAM.MSG.DELETE."+n.DeadLetterStream())
	r.Subscribe = append(r.Subscribe, n.Inbox()+".>")
	return r
}

// BackendRights is what a back-end app needs for all conversations: to read
// streams and buckets that hold no keys, to read the registry without keys, and
// to use the services. It can neither read nor make a device key.
func (n Names) BackendRights() Rights {
	p := n.prefix()
	r := Rights{
		Publish: []string{
			p + ".registry.get.>", p + ".registry.list", p + ".registry.list.>",
			p + ".configuration.get.*", p + ".configuration.list", p + ".twin.>", p + ".method.>", p + ".command.>", p + ".job.>", p + ".c2d.>", p + ".why.>", p + ".why-address.*", n.Query(), n.QueryWatch(),
			"$SRV.>", "$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST",
		},
		Subscribe: []string{
			"_INBOX.>", p + ".telemetry.>", p + ".events.>", p + ".timeline.>", p + ".feedback.>", p + ".deadletter.>",
		},
	}
	for _, stream := range n.readable() {
		r.Publish = append(r.Publish, n.reading(stream)...)
	}
	queues := n.C2DStream() // to look at, and not to take from
	r.Publish = append(r.Publish, "$JS.API.STREAM.INFO."+queues, "$JS.API.DIRECT.GET."+queues, "$JS.API.DIRECT.GET."+queues+".>")
	return r
}

// ReaderRights is what a reader of telemetry needs, and no more.
func (n Names) ReaderRights() Rights {
	r := Rights{Publish: []string{"$JS.API.STREAM.NAMES"}, Subscribe: []string{"_INBOX.>"}}
	for _, stream := range n.TelemetryShards() {
		r.Publish = append(r.Publish, n.reading(stream)...)
	}
	return r
}

// InDomain is r where JetStream is reached by the name of its domain: over a leaf
// node.
func (r Rights) InDomain(domain string) Rights {
	if domain == "" {
		return r
	}
	var publish []string
	for _, s := range r.Publish {
		if rest, ok := strings.CutPrefix(s, "$JS.API."); ok {
			s = "$JS." + domain + ".API." + rest
		} else if strings.HasPrefix(s, "$KV.") {
			s = "$JS." + domain + ".API." + s
		}
		publish = append(publish, s)
	}
	return Rights{Publish: publish, Subscribe: r.Subscribe}
}

// reading is what reading a stream takes, by consumers and message by message.
func (n Names) reading(stream string) []string {
	return []string{
		"$JS.API.STREAM.INFO." + stream,
		"$JS.API.DIRECT.GET." + stream, "$JS.API.DIRECT.GET." + stream + ".>",
		"$JS.API.CONSUMER.*." + stream, "$JS.API.CONSUMER.*." + stream + ".>",
		"$JS.API.CONSUMER.DURABLE.CREATE." + stream + ".>",
		"$JS.API.CONSUMER.MSG.NEXT." + stream + ".>",
		"$JS.ACK." + stream + ".>",
		"$JS.FC." + stream + ".>",
	}
}

// readable lists the streams that a back-end app may read: none of them holds
// keys.
func (n Names) readable() []string {
	return append(n.TelemetryShards(),
		n.EventsStream(), n.FeedbackStream(), n.DeadLetterStream(), n.TimelineStream(), n.StrangersStream(),
		"KV_"+n.PresenceBucket(), "KV_"+n.TwinBucket(), "KV_"+n.CommandBucket(), "KV_"+n.JobBucket(), "KV_"+n.JobRowBucket(),
	)
}

// Buckets lists the key-value buckets of the hub, those that say who is who
// first.
func (n Names) Buckets() []string {
	return []string{n.DeviceBucket(), n.PolicyBucket(), n.AuthorityBucket(), n.PresenceBucket(), n.TwinBucket(), n.CommandBucket(), n.C2DBucket(), n.CredentialBucket(), n.ConfigurationBucket(), n.JobBucket(), n.JobRowBucket(), n.WillBucket(), n.NodesBucket()}
}

// Streams lists the streams of the hub, those behind the buckets too.
func (n Names) Streams() []string {
	all := append(n.TelemetryShards(),
		n.EventsStream(), n.C2DStream(), n.FeedbackStream(), n.DeadLetterStream(), n.TimelineStream(), n.StrangersStream(),
	)
	for _, bucket := range n.Buckets() {
		all = append(all, "KV_"+bucket)
	}
	slices.Sort(all)
	return all
}
