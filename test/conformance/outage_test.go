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
	for id, sig := range map[string]syscall.Signal{"polite": syscall.SIGTERM, "forced": syscall.SIGKILL} {
		who := g.create(id)
		d := s.start(t)
		d.do("open", "a", s.open(g, id, who.ConnectionString, nil))
		d.do("pump", "a", args{"prefix": id, "window": 8, "pauseMillis": 5})
		d.awaitCount("message confirmed before the gateway was "+sig.String(), 50, confirmedAfter(time.Now()))
		g.restart(sig)
		since, count := time.Now(), 0
		end := d.await("50 messages confirmed after the gateway was "+sig.String(), func(l line) bool {
			if confirmedAfter(since)(l) {
				count++
			}
			return count >= 50 || l.Event == "died"
		})
		if end.Event == "died" {
			if end.Error.Class != s.mortal {
				t.Fatalf("the SDK's network thread died of %v", end.Error)
			}
			t.Logf("the SDK's network thread died of %v, and its application would have to be started again", end.Error)
		}
		d.do("stop", "a", nil)
		t.Logf("%v: %s", sig, g.audit(d.events(), id, id))
	}
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
		if strings.HasPrefix(body, prefix) {
			duplicates += n - 1
		}
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
