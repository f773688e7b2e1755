package backend

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/credential"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/jobs"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/twin"
)

// stuckDisk is a disk that can be made to take nothing.
type stuckDisk struct {
	mu sync.Mutex // held while it is stuck
}

func (d *stuckDisk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return nil
}

// TestEveryPromiseWaitsForTheDisk: whatever writes and returns without an error has
// waited. The disk is stuck, so that each of them has to run out of its time.
func TestEveryPromiseWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	disk := &stuckDisk{}
	b := open(t, serve(t, "", 0), Config{Node: "n", Sync: disk.sync})
	ctx := testContext(t)
	r := create(t, b, device(1))
	for name, promise := range promises(ctx, t, b, r) {
		disk.mu.Lock()
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err := promise(short)
		cancel()
		disk.mu.Unlock()
		if err == nil || !strings.Contains(err.Error(), "the disk did not take in time") {
			t.Errorf("%s returned %v, and has not waited for the disk", name, err)
		}
	}
}

// promises makes what the promises are about, and returns one call of each kind.
func promises(ctx context.Context, t *testing.T, b *Backbone, r identity.Record) map[string]func(context.Context) error {
	t.Helper()
	first := func(_ any, err error) error { return err }
	owned, _, err := b.Sessions().Claim(ctx, session.Session{ID: r.ID, Node: "n", Connection: "c1", Connected: true, Generation: r.GenerationID})
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	sequence := func() uint64 {
		ack, err := b.js.PublishMsg(ctx, nats.NewMsg(b.names.C2D(r.ID.Device)))
		must(err)
		return ack.Sequence
	}
	store, outcomes := b.C2D().Store, b.C2D().Outcomes
	done, gone := sequence(), uint64(12345)
	command := methods.Command{For: r.ID, ID: "there"}
	commands, err := openBucket(ctx, b.js, b.names.CommandBucket())
	must(err)
	calls := &CommandStore{commands}
	must(calls.Create(ctx, &command))
	job := jobs.Job{ID: "there"}
	must(b.Jobs().Create(ctx, &job))
	mark, err := b.Jobs().Mark(ctx, "held")
	must(err)
	hold, err := b.Jobs().Hold(ctx, "held", mark)
	must(err)
	known, err := b.Devices().Get(ctx, r.ID)
	must(err)
	doomed := create(t, b, device(2))
	doomed, err = b.Devices().Get(ctx, doomed.ID)
	must(err)
	value := []byte("{}")
	return map[string]func(context.Context) error{
		"creating a device":      func(ctx context.Context) error { return first(b.Devices().Create(ctx, identity.Record{ID: device(3)})) },
		"a device that is there": func(ctx context.Context) error { return first(b.Devices().Create(ctx, r)) },
		"updating a device":      func(ctx context.Context) error { return first(b.Devices().Update(ctx, known)) },
		"deleting a device":      func(ctx context.Context) error { return b.Devices().Delete(ctx, doomed) },
		"a twin": func(ctx context.Context) error {
			return first(b.Twins().Put(ctx, twin.New(r.ID, r.GenerationID, r.CreatedTime), twin.Change{Op: twin.OpUpdate}))
		},
		"a claim": func(ctx context.Context) error {
			_, _, err := b.Sessions().Claim(ctx, session.Session{ID: device(9), Node: "n", Connection: "c2"})
			return err
		},
		"the will of a claim": func(ctx context.Context) error {
			return first(b.sessions.wills.keep(ctx, r.ID, "", &session.Will{Body: value}))
		},
		"subscriptions":           func(ctx context.Context) error { return b.Sessions().Save(ctx, &owned) },
		"the end of a connection": func(ctx context.Context) error { return b.Sessions().release(ctx, &owned) },
		"completing a message":    func(ctx context.Context) error { return store.Remove(ctx, done) },
		"completing messages": func(ctx context.Context) error {
			return b.C2D().Bulk.RemoveAll(ctx, c2d.Removal{Device: "dev-9", Sequences: []uint64{1, 2, 3, 4}, AloneSince: time.Now()})
		},
		"a message that is gone":  func(ctx context.Context) error { return store.Remove(ctx, gone) },
		"the state of deliveries": func(ctx context.Context) error { return store.Save(ctx, "dev-1", c2d.State{}) },
		"feedback": func(ctx context.Context) error {
			return outcomes.Report(ctx, c2d.Feedback{Device: "dev-1", Sequence: 4})
		},
		"a dead letter": func(ctx context.Context) error {
			return outcomes.Bury(ctx, c2d.DeadLetter{Message: c2d.Message{Device: "dev-1", Sequence: 5}})
		},
		"a call that waits":   func(ctx context.Context) error { return calls.Create(ctx, &methods.Command{For: r.ID, ID: "new"}) },
		"the state of a call": func(ctx context.Context) error { return calls.Update(ctx, &command) },
		"the end of a call":   func(ctx context.Context) error { return calls.Remove(ctx, command) },
		"a job":               func(ctx context.Context) error { return b.Jobs().Create(ctx, &jobs.Job{ID: "new"}) },
		"the state of a job":  func(ctx context.Context) error { return b.Jobs().Update(ctx, &job) },
		"the fence of a job":  func(ctx context.Context) error { return first(b.Jobs().Hold(ctx, "new", make(jobs.Mark, fenceParts))) },
		"a row of a job":      func(ctx context.Context) error { return hold.Put(ctx, &jobs.Row{For: r.ID}) },
		"a configuration": func(ctx context.Context) error {
			return first(b.Configurations().Write(ctx, configuration.Configuration{ID: "c"}))
		},
		"an authority": func(ctx context.Context) error { return first(b.Authorities().Write(ctx, trust.Authority{Name: "a"})) },
		"a certificate of a device": func(ctx context.Context) error {
			return first(b.Credentials().Put(ctx, credential.Operation{ID: r.ID, Expires: time.Now().Add(time.Hour)}))
		},
		"a policy": func(ctx context.Context) error { return b.Policies().Put(ctx, sas.DefaultPolicies()[0]) },
		"emptying a queue": func(ctx context.Context) error {
			s, err := b.js.Stream(ctx, b.names.C2DStream())
			must(err)
			return s.Purge(ctx)
		},
		"a stream": func(ctx context.Context) error {
			return first(b.js.CreateStream(ctx, jetstream.StreamConfig{Name: "X", Subjects: []string{"x"}}))
		},
		"a stream's limits": func(ctx context.Context) error {
			return first(b.js.UpdateStream(ctx, info(t, b, b.names.FeedbackStream())))
		},
		"a publication":        func(ctx context.Context) error { return first(b.js.Publish(ctx, b.names.Feedback("dev-1"), value)) },
		"what others publish":  b.Committed,
		"a record of the node": func(ctx context.Context) error { return first(b.nodes.put(ctx, NodeRecord{Node: "m"}, 0, 0)) },
		"a device's message": func(ctx context.Context) error {
			l := newLedger(t)
			b.Telemetry().Store(message(r.ID, 1), l, 1)
			<-ctx.Done()
			if l.len() > 0 {
				return nil
			}
			return errors.New("the disk did not take in time what nobody has answered")
		},
	}
}
