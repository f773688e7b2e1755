package timeline

import (
	"net/netip"

	"github.com/hubgate/hubgate/hub"
)

// AddressOf is the address under which entries about a peer are kept: of
// "address:port" or of an address alone the IPv4 address, or the /64 network of
// an IPv6 address, for a single host may have all of that. Empty when remote is
// neither.
func AddressOf(remote string) string {
	ip, err := netip.ParseAddr(remote)
	if err != nil {
		port, err := netip.ParseAddrPort(remote)
		if err != nil {
			return ""
		}
		ip = port.Addr()
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ""
	}
	return network.String()
}

// ParseAddress is [AddressOf] for what a person writes, which may be the
// network itself. It fails with ArgumentInvalid.
func ParseAddress(text string) (string, error) {
	if p, err := netip.ParsePrefix(text); err == nil && p.Addr().Is6() && p.Bits() == 64 {
		return p.Masked().String(), nil
	}
	if address := AddressOf(text); address != "" {
		return address, nil
	}
	return "", hub.Errorf(hub.ArgumentInvalid, "%q is not an IP address, such as 192.0.2.7 or 2001:db8::7", text)
}
