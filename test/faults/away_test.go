package faults

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/test/hubtest"
)

// caller is a back-end app that calls direct methods, one after another, of one
// device after another.
type caller struct {
	to       []string
	answered atomic.Int64
	silent   int            // calls that nobody has answered
	refused  map[string]int // by code
	faults   []string
}

// callTime is longer than both timeouts of a call: a request that is lost with
// the gateway's connection to NATS is answered by nobody.
const callTime = 12 * time.Second

// run calls until ctx ends.
func (a *caller) run(ctx context.Context, l *lives) {
	for n := 0; ctx.Err() == nil; n++ {
		now := l.next()
		if now == nil {
			return
		}
		body := fmt.Sprintf(`{"call":%d}`, n)
		answer, err := now.requestFor(callTime, "hub.method."+hubtest.Key(a.to[n%len(a.to)])+".now", nats.Header{"Hub-Connect-Timeout": {"5s"}, "Hub-Response-Timeout": {"5s"}}, body)
		if err != nil { // the connection has ended, or the gateway is not back yet
			a.silent++
			rest(ctx)
			continue
		}
		switch code, text := serviceError(answer); {
		case code != "":
			a.refused[code]++
			if len(text) < 10 {
				a.faults = append(a.faults, fmt.Sprintf("the error %s has the sentence %q", code, text))
			}
		case string(answer.Data) != body || answer.Header.Get("Hub-Status") != "200":
			a.faults = append(a.faults, fmt.Sprintf("the answer to %s is %v %.200s", body, answer.Header, answer.Data))
		default:
			a.answered.Add(1)
		}
	}
}

// town is everybody who converses with a hub and its devices.
type town struct {
	patchers []*patcher
	writers  []*desirer
	takers   []*taker
	senders  []*sender
	callees  []*callee
	orderers []*orderer
	steady   *client // a device that only answers methods
	calls    *caller

	work, devices *staff
}

func newTown(t *testing.T, g *hubtest.Gateway) *town {
	t.Helper()
	w := &town{work: newStaff(t), devices: newStaff(t), calls: &caller{to: []string{"steady"}, refused: map[string]int{}}}
	w.patchers, _ = newPatchers(t, g, 5)
	w.takers, _ = newTakers(t, g, 5)
	w.callees, _ = newCallees(t, g, 5)
	for i := range w.patchers {
		w.patchers[i].warm, w.takers[i].warm, w.callees[i].warm = nil, nil, nil
	}
	w.writers, w.senders, w.orderers = newDesirers(2, w.patchers), newSenders(2, w.takers), newOrderers(2, w.callees)
	w.steady = newDevice(t, g, "steady").mustJoin(t, methodCalls)
	return w
}

// live has everybody begin.
func (w *town) live(l *lives) {
	var settled atomic.Pointer[map[string]bool]
	settled.Store(&map[string]bool{})
	for _, p := range w.patchers {
		w.work.do(func(ctx context.Context) { p.run(ctx, l) })
	}
	for _, d := range w.takers {
		w.devices.do(func(ctx context.Context) { d.run(ctx, l, &settled) })
	}
	for _, d := range w.callees {
		w.devices.do(func(ctx context.Context) { d.run(ctx, l) })
	}
	w.devices.do(func(context.Context) { _ = w.steady.answerAll() })
	for _, d := range w.writers {
		w.work.do(func(ctx context.Context) { d.run(ctx, l) })
	}
	for _, s := range w.senders {
		w.work.do(func(ctx context.Context) { s.run(ctx, l) })
	}
	for _, o := range w.orderers {
		w.work.do(func(ctx context.Context) { o.run(ctx, l) })
	}
	w.work.do(func(ctx context.Context) { w.calls.run(ctx, l) })
}

func (w *town) progress() []int64 {
	all := []int64{w.calls.answered.Load()}
	for i := range w.patchers {
		all = append(all, w.patchers[i].done.Load(), w.takers[i].done.Load())
	}
	return all
}

// busy waits until everybody has got on.
func (w *town) busy(t *testing.T, when string) {
	t.Helper()
	mark := w.progress()
	waitFor(t, "every conversation to go on "+when, func() bool {
		for i, done := range w.progress() {
			if done < mark[i]+warmAfter {
				return false
			}
		}
		return true
	})
}

// TestNATSAwayAmidConversations ends NATS, and lets it hang, amid twins, direct
// methods, commands and cloud-to-device messages: what fails says that the
// store is away, nobody is disconnected, and in the end everything
// acknowledged is there, and true.
func TestNATSAwayAmidConversations(t *testing.T) {
	n := startNATS(t)
	g := startNode(t, n, newPlace(t))
	w, l := newTown(t, g), newLives(g)
	w.live(l)
	w.busy(t, "at first")
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		l.interrupt(func() {
			g.NATS.Close()
			n.stop(t, sig)
			<-time.After(time.Second)
			n.again(t)
			g.Dial(t)
		})
		w.busy(t, "after "+sig.String())
	}
	hubtest.Pause(t, n.cmd.Process)
	<-time.After(7 * time.Second) // longer than a request of the gateway may take
	n.signal(t, syscall.SIGCONT)
	w.busy(t, "after it hung")
	w.work.finish()
	awaitOutcomes(t, g, w.senders, "Success")
	checkCommands(t, g, w.callees, w.orderers)
	w.steady.close()
	w.devices.finish()
	checkTaken(t, w.takers, w.senders)
	checkNoCommands(t, g)
	checkTwins(t, g, w.patchers, w.writers)
	report(t, "the caller", w.calls.faults)
	t.Logf("%d calls answered, %d not, refused: %v", w.calls.answered.Load(), w.calls.silent, w.calls.refused)
	away := []string{"429001", "429", "503001", "503", "504101", "504", "403002", "404104"}
	for _, refused := range w.refused() {
		for code := range refused {
			if !slices.Contains(away, code) {
				t.Errorf("somebody was refused with %s because NATS was away, want one of %v", code, away)
			}
		}
	}
	for i := range w.patchers {
		p, d := w.patchers[i], w.takers[i]
		if p.sessions != 1 || d.sessions != 1 {
			t.Errorf("%s had %d connections and %s %d, want one that lasts: %v, %v", p.id, p.sessions, d.id, d.sessions, p.ends, d.ends)
		}
	}
}

func (w *town) refused() []map[string]int {
	all := []map[string]int{w.calls.refused}
	for _, p := range w.patchers {
		all = append(all, p.refused)
	}
	for _, d := range w.writers {
		all = append(all, d.refused)
	}
	for _, o := range w.orderers {
		all = append(all, o.refused)
	}
	return all
}
