package faults

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

func codeText(c hub.Code) string { return strconv.Itoa(int(c)) }

// loud makes the gateway log every refusal and every end, where it would else
// leave out repetitions.
func loud(flags ...string) []string { return append(flags, "--log-level", "debug") }

// before is what the log says of a peer before its end.
var before = []string{"connected", "expired, and still connected"}

// loggedOnce waits for the log line about the end of a peer, and checks that it
// is the only one.
func loggedOnce(t *testing.T, g *hubtest.Gateway, remote string) hubtest.Line {
	t.Helper()
	about := func(l hubtest.Line) bool {
		return l.Text("remote") == remote && !slices.Contains(before, l.Text("message"))
	}
	line := g.Log.Await(t, "remote "+remote, about)
	if all := g.Log.Lines(0, about); len(all) != 1 {
		t.Errorf("%d log lines about %s, want one: %v", len(all), remote, all)
	}
	return line
}

// end is why a connection ended.
type end struct {
	code    hub.Code
	reason  string // a part of it
	deleted bool   // and the session with it
}

// checkEnd checks that log, event and session all say why a connection of id
// ended.
func checkEnd(t *testing.T, g *hubtest.Gateway, id string, c *client, want end) {
	t.Helper()
	line := loggedOnce(t, g, c.remote())
	if line.Text("code") != codeText(want.code) || !strings.Contains(line.Text("reason"), want.reason) {
		t.Errorf("logged %v, want code %d and a reason with %q", line, want.code, want.reason)
	}
	all := g.AwaitEvents(t, id, "the end of the connection", func(all []hubtest.Event) bool {
		return len(all) > 0 && all[len(all)-1].Remote == c.remote() && !all[len(all)-1].Connected()
	})
	last := all[len(all)-1]
	if last.Code != int(want.code) || !strings.Contains(last.Reason, want.reason) {
		t.Errorf("the event is %+v, want code %d and a reason with %q", last, want.code, want.reason)
	}
	if want.deleted {
		return
	}
	s := g.AwaitSession(t, id, "the end of the connection", func(s hubtest.Session) bool { return !s.Connected })
	if s.Code != int(want.code) || !strings.Contains(s.Reason, want.reason) {
		t.Errorf("the session ended by %d %q, want code %d and a reason with %q", s.Code, s.Reason, want.code, want.reason)
	}
}

// events is the number of connection events of an identity.
func events(t *testing.T, g *hubtest.Gateway, id string) int {
	t.Helper()
	n := 0
	g.Each(t, "HUB_EVENTS", "hub.events.connection."+hubtest.Key(id), func(jetstream.Msg) { n++ })
	return n
}

// policyOf returns the primary keys of the hub's policies by name, from the
// bucket that they live in.
func policyOf(t *testing.T, g *hubtest.Gateway) map[string][]byte {
	t.Helper()
	kv, err := g.JS.KeyValue(t.Context(), "hub_policies")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]byte{}
	for _, name := range []string{"iothubowner", "service", "device"} {
		entry, err := kv.Get(t.Context(), name)
		if err != nil {
			t.Fatalf("policy %s: %v", name, err)
		}
		var p sas.Policy
		if err := json.Unmarshal(entry.Value(), &p); err != nil {
			t.Fatalf("policy %s: %v", name, err)
		}
		keys[name] = key(t, p.PrimaryKey)
	}
	return keys
}

// keysOf returns both keys of a device.
func keysOf(t *testing.T, g *hubtest.Gateway, id string) (primary, secondary []byte) {
	t.Helper()
	var out struct {
		PrimaryKey   string `json:"primaryKey"`
		SecondaryKey string `json:"secondaryKey"`
	}
	kind := "device"
	if strings.Contains(id, "/") {
		kind = "module"
	}
	data := g.CLI(t, kind, "keys", "-o", "json", "--", id)
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatalf("keys printed %s: %v", data, err)
	}
	return key(t, out.PrimaryKey), key(t, out.SecondaryKey)
}
