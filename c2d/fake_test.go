package c2d

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

var errCrash = errors.New("the process has died")

// fakeStore is queues in memory. It can die: after some writes nothing works
// any more until it is revived.
type fakeStore struct {
	mu       sync.Mutex
	last     uint64
	messages map[uint64]Message
	states   map[string]State
	feedback map[uint64]Feedback // by sequence, as the stream's message ids have it
	copies   []Feedback          // all that came
	dead     []DeadLetter
	unknown  map[string]bool
	unread   map[uint64]bool // messages that a replica which is behind has not got
	looks    int             // into queues
	looked   func()          // is called when a look is over; nil: nothing is
	reread   func()          // is called before a message is read again
	removals []Removal
	undead   uint64 // a message that stays when it is removed
	writes   int
	refused  int    // writes after the death
	dieAfter int    // writes; 0: never
	forgot   uint64 // sessions with epochs from here on were never claimed; 0: all were
}

func (f *fakeStore) Claimed(_ context.Context, epoch uint64) (bool, error) {
	return f.forgot == 0 || epoch < f.forgot, nil
}

func newFake() *fakeStore {
	return &fakeStore{messages: map[uint64]Message{}, states: map[string]State{}, feedback: map[uint64]Feedback{}, unknown: map[string]bool{}}
}

func (f *fakeStore) queues() *Queues {
	return &Queues{Store: f, Bulk: f, Outcomes: f, Devices: f, Claims: f, Limits: Limits{Deliveries: 3}}
}

func (f *fakeStore) put(m Message) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	m.Sequence, m.Enqueued = f.last, time.Now()
	f.messages[m.Sequence] = m
	return m.Sequence
}

// write counts a write and reports whether the process lives.
func (f *fakeStore) write() error {
	if f.dieAfter > 0 && f.writes >= f.dieAfter {
		f.refused++
		return errCrash
	}
	f.writes++
	return nil
}

func (f *fakeStore) Next(_ context.Context, device string, after uint64) (Message, error) {
	if f.reread != nil {
		f.reread()
	}
	return f.next(device, after)
}

func (f *fakeStore) next(device string, after uint64) (Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(f.messages)) {
		if m := f.messages[n]; n > after && m.Device == device && !f.unread[n] {
			return m, nil
		}
	}
	return Message{}, nil
}

func (f *fakeStore) Waiting(_ context.Context, device string, after uint64, room Room) (first []Message, more bool, err error) {
	f.mu.Lock()
	f.looks++
	f.mu.Unlock()
	for bytes := 0; ; {
		m, err := f.next(device, after)
		if err != nil || m.Sequence == 0 || len(first) == room.Messages || bytes >= room.Bytes {
			if f.looked != nil {
				f.looked()
			}
			return first, m.Sequence > 0, err
		}
		first, after, bytes = append(first, m), m.Sequence, bytes+len(m.Body)
	}
}

func (f *fakeStore) Holds(_ context.Context, n uint64) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, there := f.messages[n]
	return there, nil
}

func (f *fakeStore) Remove(ctx context.Context, n uint64) error {
	return f.RemoveAll(ctx, Removal{Sequences: []uint64{n}})
}

func (f *fakeStore) RemoveAll(_ context.Context, r Removal) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removals = append(f.removals, r)
	if !r.AloneSince.IsZero() {
		for n, m := range f.messages {
			if last := r.Sequences[len(r.Sequences)-1]; m.Device == r.Device && n <= last && !slices.Contains(r.Sequences, n) {
				return fmt.Errorf("message %d is lost when %v go", n, r.Sequences)
			}
		}
	}
	for _, n := range r.Sequences {
		if err := f.write(); err != nil {
			return err
		}
		if n != f.undead {
			delete(f.messages, n)
		}
	}
	return nil
}

func (f *fakeStore) Load(_ context.Context, device string) (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.states[device]
	s.Failures, s.Settled = maps.Clone(s.Failures), maps.Clone(s.Settled)
	return s, nil
}

func (f *fakeStore) Save(_ context.Context, device string, s State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.states[device].Revision != s.Revision {
		return hub.Errorf(hub.PreconditionFailed, "changed")
	}
	if err := f.write(); err != nil {
		return err
	}
	s.Revision++
	s.Failures, s.Settled = maps.Clone(s.Failures), maps.Clone(s.Settled)
	f.states[device] = s
	return nil
}

func (f *fakeStore) Report(_ context.Context, b Feedback) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.write(); err != nil {
		return err
	}
	f.copies = append(f.copies, b)
	if _, twice := f.feedback[b.Sequence]; !twice {
		f.feedback[b.Sequence] = b
	}
	return nil
}

func (f *fakeStore) Bury(_ context.Context, d DeadLetter) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.write(); err != nil {
		return err
	}
	f.dead = append(f.dead, d)
	return nil
}

func (f *fakeStore) Generation(_ context.Context, id hub.Identity) (string, error) {
	device := id.Device
	if f.unknown[device] {
		return "", hub.Errorf(hub.DeviceNotFound, "the device %s does not exist", device)
	}
	return "g", nil
}

func (f *fakeStore) left() []uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.messages))
}

func (f *fakeStore) status(n uint64) Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.feedback[n].Status
}

func (f *fakeStore) revive() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dieAfter = 0
}

// fakeLink is a connection.
type fakeLink struct {
	t    *testing.T
	mu   sync.Mutex
	last uint16
	qos  byte
	err  error
	got  []Delivery
	ids  []uint16
}

func (l *fakeLink) send(d Delivery) (uint16, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	l.got = append(l.got, d)
	if l.qos == 0 {
		return 0, nil
	}
	id := d.PacketID
	if id == 0 {
		l.last++
		id = l.last
	}
	l.ids = append(l.ids, id)
	return id, nil
}

func (l *fakeLink) bodies() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := ""
	for _, d := range l.got {
		s += string(d.Payload)
		if d.Redelivered {
			s += "'"
		}
	}
	return s
}

func (l *fakeLink) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func open(t *testing.T, q *Queues, epoch uint64) (*Mailbox, *fakeLink) {
	t.Helper()
	l := &fakeLink{t: t, qos: 1}
	return q.Open(Owner{Device: "d", Generation: "g", Epoch: epoch, Resumed: true}, l.send), l
}

// packet is the packet identifier of the n-th message.
func packet(n uint16) uint16 { return 1<<15 | n }
