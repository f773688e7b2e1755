package subject

import "github.com/hubgate/hubgate/hub"

// TimelineStream is the stream of what went wrong with devices, HUB_TIMELINE.
func (n Names) TimelineStream() string { return n.upper() + "_TIMELINE" }

// StrangersStream is the stream of what went wrong with peers whom nobody
// vouches for, HUB_STRANGERS. It is another one so that they can't displace
// what is known of devices.
func (n Names) StrangersStream() string { return n.upper() + "_STRANGERS" }

// TimelineAll matches the entries of all devices: hub.timeline.device.*.
func (n Names) TimelineAll() string { return n.prefix() + ".timeline.device.*" }

// TimelineEverything matches all entries: hub.timeline.>.
func (n Names) TimelineEverything() string { return n.prefix() + ".timeline.>" }

// Timeline is where the entries of a device and of its modules are published:
// hub.timeline.device.{device}.
func (n Names) Timeline(device string) string { return n.ofDevice(".timeline.device.", device) }

// StrangersAll matches the entries of all strangers: by address, and by the
// names of devices that do not exist.
func (n Names) StrangersAll() []string {
	return []string{n.prefix() + ".timeline.address.*", n.prefix() + ".timeline.unknown.*"}
}

// TimelineOfAddress is where the entries of an address are published:
// hub.timeline.address.{address}, the address encoded as ids are.
func (n Names) TimelineOfAddress(address string) string {
	return n.prefix() + ".timeline.address." + EncodeToken(address)
}

// TimelineOfUnknown is where the entries of a device that does not exist are
// published: hub.timeline.unknown.{device}.
func (n Names) TimelineOfUnknown(device string) string {
	return n.ofDevice(".timeline.unknown.", device)
}

// WhyName is the name of the service of timelines as nats micro shows it.
func (n Names) WhyName() string { return n.prefix() + "-why" }

// Why is the subject that asks for the timeline of id: hub.why.{device}[.{module}].
func (n Names) Why(id hub.Identity) string { return string(n.appendIdentity(nil, ".why.", id)) }

// WhyAll matches the subjects of all identities: hub.why.>.
func (n Names) WhyAll() string { return n.prefix() + ".why.>" }

// WhyAddress is the subject that asks for the timeline of an address:
// hub.why-address.{address}, the address encoded as ids are.
func (n Names) WhyAddress(address string) string {
	return n.prefix() + ".why-address." + EncodeToken(address)
}

// WhyAddressAll matches the subjects of all addresses: hub.why-address.*.
func (n Names) WhyAddressAll() string { return n.prefix() + ".why-address.*" }

// ParseWhyAddress is the inverse of [Names.WhyAddress]. It fails with
// [hub.ArgumentInvalid].
func (n Names) ParseWhyAddress(s string) (string, error) {
	head := n.prefix() + ".why-address."
	if len(s) < len(head) || s[:len(head)] != head {
		return "", hub.Errorf(hub.ArgumentInvalid, "%q does not begin with %s", s, head)
	}
	return DecodeToken(s[len(head):])
}
