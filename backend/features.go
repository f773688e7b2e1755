package backend

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// feature is something of nats-server without which the hub can't keep a promise.
type feature struct {
	level int    // of JetStream's API that has it
	since string // version of nats-server
	what  string
	why   string
}

// features is what the hub needs. Level 1 came with nats-server 2.11; older
// servers tell none.
func features() []feature {
	return []feature{
		{1, "2.11", "times to live of single messages", "cloud-to-device messages expire by them"},
		{1, "2.11", "markers of deleted keys", "nodes hear by them of identities that are gone"},
	}
}

// lacking returns what a server with this level of JetStream's API lacks.
func lacking(level int) []feature {
	var all []feature
	for _, f := range features() {
		if level < f.level {
			all = append(all, f)
		}
	}
	return all
}

// tooOld says what is missing and since when there is all; "" when nothing is.
func tooOld(version string, level int) string {
	missing := lacking(level)
	if len(missing) == 0 {
		return ""
	}
	var whats []string
	least := ""
	for _, f := range missing {
		whats = append(whats, f.what+" ("+f.why+")")
		if least == "" || olderThan(least, f.since) {
			least = f.since
		}
	}
	return fmt.Sprintf("nats-server %s with level %d of JetStream's API lacks %s; use nats-server %s or newer on all servers", version, level, strings.Join(whats, " and "), least)
}

// checkServer asks JetStream what it can do.
func (k keeper) checkServer(ctx context.Context) (*jetstream.AccountInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, assetTimeout)
	defer cancel()
	k.faults.watch(cancel)
	defer k.faults.watch(nil)
	info, err := k.js.AccountInfo(ctx)
	if err != nil {
		return nil, k.explain("ask", asset{what: "JetStream"}, err)
	}
	if text := tooOld(k.js.Conn().ConnectedServerVersion(), info.API.Level); text != "" {
		return nil, fmt.Errorf("%s", text)
	}
	return info, nil
}
