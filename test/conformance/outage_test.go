package conformance

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// restartedWhileSending ends the gateway in the middle of a stream of messages,
// politely and by force, and starts it again. The SDK comes back by itself, and
// everything that it was told is stored, is.
func restartedWhileSending(t *testing.T, s *sdk) {
	g := startGateway(t)
	id := "outage"
	who := g.create(id)
	d := s.start(t)
	d.do("open", "a", s.open(g, id, who.ConnectionString, nil))
	d.do("pump", "a", args{"prefix": "o", "window": 8, "pauseMillis": 5})
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		d.awaitCount("message confirmed before signal "+sig.String(), 50, confirmedAfter(time.Now()))
		g.restart(sig)
		d.awaitCount("message confirmed after signal "+sig.String(), 50, confirmedAfter(time.Now()))
	}
	d.do("stop", "a", nil)
	t.Log(g.audit(d.events(), id, "o"))
}

// audit checks that every message that the SDK had reported as confirmed by then is
// in the stream now, and returns the counts.
func (g *gateway) audit(then []line, id, prefix string) string {
	g.t.Helper()
	stored := map[string]int{}
	duplicates := 0
	for _, msg := range g.messages(id, 1) {
		stored[string(msg.Data())]++
	}
	for body, n := range stored {
		if !strings.HasPrefix(body, prefix) {
			g.t.Errorf("the stream has a message that nobody sent: %q", body)
		}
		duplicates += n - 1
	}
	confirmed, failed, missing := 0, 0, 0
	for _, l := range then {
		switch l.Event {
		case "failed":
			failed++
		case "confirmed":
			confirmed++
			if stored[fmt.Sprintf("%s%d", prefix, l.Seq)] == 0 {
				missing++
				g.t.Errorf("message %d was confirmed and is not in the stream", l.Seq)
			}
		}
	}
	return fmt.Sprintf("%d confirmed, %d reported failed, %d stored twice, %d confirmed but missing",
		confirmed, failed, duplicates, missing)
}
