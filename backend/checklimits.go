package backend

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// allowance is what an account may have, and has, for streams with so many
// replicas. Accounts have one limit for all, in which each replica counts, or a tier
// for each number of replicas, in which a stream counts once.
type allowance struct {
	jetstream.Tier
	replicas int64 // what a byte of a stream counts
	tiers    []string
	none     bool // no tier has this number of replicas
}

func allowanceOf(info *jetstream.AccountInfo, replicas int) allowance {
	replicas = max(replicas, 1)
	if len(info.Tiers) == 0 {
		return allowance{Tier: info.Tier, replicas: int64(replicas)}
	}
	tier, ok := info.Tiers[fmt.Sprintf("R%d", replicas)]
	return allowance{Tier: tier, replicas: 1, tiers: slices.Sorted(maps.Keys(info.Tiers)), none: !ok}
}

// room is what is left on disk.
func (a allowance) room() int64 {
	taken := max(min(a.Store, 1<<62), min(a.ReservedStore, 1<<62))
	return a.Limits.MaxStore - int64(taken) //nolint:gosec // bounded
}

// limits checks whether what is missing may be made.
func (c *checker) limits(a allowance, missing []asset) {
	if a.none {
		c.bad("jetstream: replicas of the account", fmt.Sprintf("the account may have streams with %s, and not with %d replicas", strings.Join(a.tiers, " and "), max(c.cfg.Replicas, 1)),
			"give the account a limit for them, or set nats.replicas")
		return
	}
	c.servers()
	if most := a.Limits.MaxStreams; most > 0 && a.Streams+len(missing) > most {
		c.bad("jetstream: streams of the account", fmt.Sprintf("%d may be there, %d are, and %d are to be made", most, a.Streams, len(missing)),
			fmt.Sprintf("raise the limit of streams of the account to %d at least", a.Streams+len(missing)))
	}
	c.space(a, missing)
}

// servers compares the replicas with the servers that NATS tells of.
func (c *checker) servers() {
	n := c.cfg.Replicas
	if n <= 1 {
		return
	}
	switch known := len(c.nc.Servers()); {
	case c.nc.ConnectedClusterName() == "" && c.cfg.Domain == "":
		c.bad("jetstream: replicas", fmt.Sprintf("%d are asked for, and NATS is one server that is in no cluster", n), "make a cluster of it, or lower nats.replicas")
	case known < n:
		c.warn("jetstream: replicas", fmt.Sprintf("%d are asked for, and NATS tells of %d servers", n, known), "start the others, or lower nats.replicas")
	default:
		c.good("jetstream: replicas", fmt.Sprintf("%d, and NATS tells of %d servers", n, known))
	}
}

// space compares the sizes of what is missing with what is left.
func (c *checker) space(a allowance, missing []asset) {
	const what = "jetstream: space"
	least, full := int64(0), int64(0)
	for _, m := range missing {
		full += m.want.MaxBytes * a.replicas
		least += cmp.Or(m.fixed.MaxBytes, int64(minBytes)) * a.replicas
		if most := a.Limits.StoreMaxStreamBytes; most > 0 && m.fixed.MaxBytes > most {
			c.bad(what, fmt.Sprintf("%s is to have %d bytes, and the account allows a stream %d", m.what, m.fixed.MaxBytes, most), "raise that limit of the account, or lower "+m.size())
		}
	}
	switch room := a.room(); {
	case a.Limits.MaxStore < 0:
		c.good(what, "the account has no limit of its own")
	case room < least:
		c.bad(what, fmt.Sprintf("the account has %d bytes left, and %d are needed at least, with %d replicas", room, least, max(c.cfg.Replicas, 1)), "raise the account's limit of storage on disk")
	case room < full:
		c.warn(what, fmt.Sprintf("the account has %d bytes left, and the defaults want %d: streams are made smaller", room, full), "raise the account's limit of storage on disk, or set telemetry.max_bytes and events.max_bytes")
	default:
		c.good(what, fmt.Sprintf("%d bytes are left", room))
	}
}
