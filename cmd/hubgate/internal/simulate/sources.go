package simulate

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// mostSources is how many addresses are used of one network.
const mostSources = 1 << 12

// ParseSources reads addresses and networks, such as 10.0.0.5 or 127.0.0.0/24,
// and makes sure that this machine may connect from the first of each. Of a
// network the first address is left out, and of IPv4 the last, which are no
// host's.
func ParseSources(ctx context.Context, texts []string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, text := range texts {
		some, err := parseSource(text)
		if err != nil {
			return nil, err
		}
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(some[0].String(), "0"))
		if err != nil {
			return nil, fmt.Errorf("--source %s: this machine can't connect from %s: give addresses of its own (%w)", text, some[0], err)
		}
		_ = ln.Close()
		all = append(all, some...)
	}
	return all, nil
}

func parseSource(text string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return []netip.Addr{a}, nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return nil, fmt.Errorf("--source %.60q is neither an address nor a network such as 127.0.0.0/24", text)
	}
	if p.IsSingleIP() {
		return []netip.Addr{p.Addr()}, nil
	}
	var all []netip.Addr
	for a := p.Masked().Addr().Next(); p.Contains(a) && len(all) < mostSources; a = a.Next() {
		all = append(all, a)
	}
	if n := len(all); n > 1 && all[n-1].Is4() && !p.Contains(all[n-1].Next()) {
		all = all[:n-1]
	}
	return all, nil
}
