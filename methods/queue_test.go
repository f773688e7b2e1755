package methods

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// shelf is a store of commands in memory, whose requests can be made to fail
// before or after they are done.
type shelf struct {
	mu       sync.Mutex
	rev      uint64
	all      map[string]Command
	watchers []Watcher
	fail     func(op string, c Command) (before, after error)
}

func newShelf() *shelf { return &shelf{all: map[string]Command{}} }

var errAway = hub.Errorf(hub.ServiceUnavailable, "the store is away")

func (s *shelf) do(op string, c Command, f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var before, after error
	if s.fail != nil {
		before, after = s.fail(op, c)
	}
	if before != nil {
		return before
	}
	if err := f(); err != nil {
		return err
	}
	return after
}

func (s *shelf) Create(_ context.Context, c *Command) error {
	return s.do("create", *c, func() error { return s.set(c) })
}

func (s *shelf) Update(_ context.Context, c *Command) error {
	return s.do("update", *c, func() error {
		if s.all[c.ID].Revision != c.Revision {
			return hub.Errorf(hub.PreconditionFailed, "stale")
		}
		return s.set(c)
	})
}

// set stores a copy; after is the caller's to handle.
func (s *shelf) set(c *Command) error {
	s.rev++
	stored := *c
	stored.Revision = s.rev
	s.all[c.ID] = stored
	c.Revision = s.rev
	for _, w := range s.watchers {
		w.Stored(stored)
	}
	return nil
}

func (s *shelf) Remove(_ context.Context, c Command) error {
	return s.do("remove", c, func() error {
		if s.all[c.ID].Revision != c.Revision {
			return hub.Errorf(hub.PreconditionFailed, "stale")
		}
		s.rev++
		delete(s.all, c.ID)
		for _, w := range s.watchers {
			w.Removed(Command{For: c.For, ID: c.ID, Revision: s.rev})
		}
		return nil
	})
}

func (s *shelf) Get(_ context.Context, id hub.Identity, command string) (got Command, err error) {
	err = s.do("get", Command{For: id, ID: command}, func() error {
		c, ok := s.all[command]
		if !ok || c.For != id {
			return (&Command{For: id, ID: command}).notFound()
		}
		got = c
		return nil
	})
	return got, err
}

func (s *shelf) Watch(ctx context.Context, w Watcher) error {
	s.mu.Lock()
	w.Loading()
	for _, c := range s.all {
		w.Stored(c)
	}
	w.Loaded()
	s.watchers = append(s.watchers, w)
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers = slices.DeleteFunc(s.watchers, func(x Watcher) bool { return x == w })
	return nil
}

func (s *shelf) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// plant is devices that are connected to one node, and whoever gets results.
type plant struct {
	mu         sync.Mutex
	ready      map[hub.Identity]bool
	invoke     func(ctx context.Context, c Call) (Answer, error)
	calls      []string
	results    []Command
	deliver    error // of the next delivery
	generation string
	unknown    error // of the generation
}

func newPlant() *plant {
	return &plant{ready: map[hub.Identity]bool{}, invoke: echo, generation: "1"}
}

func (p *plant) Invoke(ctx context.Context, c Call) (Answer, error) {
	p.mu.Lock()
	p.calls = append(p.calls, c.Method)
	f := p.invoke
	p.mu.Unlock()
	return f(ctx, c)
}

func (p *plant) Ready(id hub.Identity, _ string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready[id]
}

func (p *plant) Generation(_ context.Context, id hub.Identity) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unknown != nil {
		return "", p.unknown
	}
	if p.generation == "" {
		return "", hub.Errorf(hub.DeviceNotFound, "there is no %s", id)
	}
	return p.generation, nil
}

func (p *plant) Deliver(_ context.Context, c Command) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.deliver; err != nil {
		p.deliver = nil
		return err
	}
	p.results = append(p.results, c)
	return nil
}

func (p *plant) set(f func(*plant)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// outcomes is what was delivered, as "method outcome".
func (p *plant) outcomes() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, c := range p.results {
		all = append(all, c.Method+" "+string(c.Result.Outcome))
	}
	return strings.Join(all, ", ")
}

// told is outcomes without the repetitions that a delivery may have.
func (p *plant) told() string {
	return strings.Join(slices.Compact(strings.Split(p.outcomes(), ", ")), ", ")
}

func (p *plant) made() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.calls, " ")
}

var dev1 = hub.Identity{Device: "dev1"}

// start runs the queue of a node until the test ends.
func start(t *testing.T, s *shelf, p *plant, node string) (q *Queue, stop func()) {
	t.Helper()
	q = &Queue{Node: node, Local: p, Devices: p, Commands: s, Results: p}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	synctest.Wait()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			q.Close()
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return q, stop
}

func order(method string) Order {
	return Order{Call: Call{ID: dev1, Method: method}, Wait: time.Hour}
}

func submit(t *testing.T, q *Queue, method string) Command {
	t.Helper()
	c, err := q.Submit(t.Context(), order(method))
	if err != nil {
		t.Fatalf("submit %s: %v", method, err)
	}
	pass(time.Millisecond) // of the bubble's clock: the next id is greater
	return c
}

// pass lets time pass on the clock of the bubble.
func pass(d time.Duration) { <-time.After(d) }

// comes connects dev1 to the node of q.
func comes(q *Queue, p *plant) {
	p.set(func(p *plant) { p.ready[dev1] = true })
	q.Ready(dev1)
	synctest.Wait()
}

func TestCommandsWaitForTheirDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		for _, m := range []string{"one", "two", "three"} {
			submit(t, q, m)
		}
		pass(10 * time.Minute)
		if got := p.made(); got != "" {
			t.Fatalf("made %q for a device that is away", got)
		}
		comes(q, p)
		if got := p.made(); got != "one two three" {
			t.Errorf("made %q", got)
		}
		if got := p.outcomes(); got != "one answered, two answered, three answered" {
			t.Errorf("got %q", got)
		}
		if n := s.len(); n != 0 {
			t.Errorf("%d commands are left", n)
		}
		submit(t, q, "now")
		synctest.Wait()
		if got := p.made(); got != "one two three now" {
			t.Errorf("made %q", got)
		}
	})
}

// Two nodes that both believe to have the device make each call once.
func TestOneCallByTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		a, _ := start(t, s, p, "a")
		b, _ := start(t, s, p, "b")
		var want []string
		for i := range 40 {
			m := fmt.Sprintf("m%02d", i)
			submit(t, a, m)
			want = append(want, m)
		}
		p.set(func(p *plant) { p.ready[dev1] = true })
		a.Ready(dev1)
		b.Ready(dev1)
		pass(time.Minute)
		got := strings.Fields(p.made())
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("made %q", got)
		}
		if n := len(p.results); n != len(want) {
			t.Errorf("%d results of %d", n, len(want))
		}
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		start(t, s, p, "b")
		submit(t, q, "late")
		pass(time.Hour + 2*sweepInterval)
		if got := p.outcomes(); got != "late expired" || s.len() != 0 {
			t.Fatalf("got %q, %d left", got, s.len())
		}
		if r := p.results[0].Result; r.Code != hub.DeviceNotOnline || r.Message != "Timed out waiting for device to connect: dev1 could not be called in 1h0m0s" {
			t.Errorf("the result is %d %q", r.Code, r.Message)
		}
		comes(q, p)
		if got := p.made(); got != "" {
			t.Errorf("made %q after its expiry", got)
		}
	})
}

// The device keeps the one before it waiting: the next one is too late.
func TestExpiryBehindASlowCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		p.invoke = silent
		q, _ := start(t, s, p, "a")
		submit(t, q, "slow")
		o := order("late")
		o.Wait = 10 * time.Second
		if _, err := q.Submit(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		comes(q, p)
		pass(time.Minute)
		if got := p.outcomes(); got != "slow failed, late expired" || p.made() != "slow" {
			t.Errorf("got %q, made %q", got, p.made())
		}
		if c := p.results[0].Result; c.Code != hub.GatewayTimeout || !strings.Contains(c.Message, "has not answered in time") {
			t.Errorf("got %+v", c)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		c := submit(t, q, "m")
		if _, err := q.Cancel(t.Context(), hub.Identity{Device: "dev2"}, c.ID); hub.CodeOf(err) != hub.JobNotFound {
			t.Errorf("another device's: %v", err)
		}
		if _, err := q.Cancel(t.Context(), dev1, c.ID); err != nil {
			t.Fatal(err)
		}
		comes(q, p)
		if got := p.outcomes(); got != "m cancelled" || p.made() != "" || s.len() != 0 {
			t.Fatalf("got %q, made %q, %d left", got, p.made(), s.len())
		}
		if r := p.results[0].Result; r.Code != hub.PreconditionFailed || r.Message != "the command was cancelled before it began" {
			t.Errorf("the result is %d %q", r.Code, r.Message)
		}
		if _, err := q.Cancel(t.Context(), dev1, c.ID); hub.CodeOf(err) != hub.JobNotFound {
			t.Errorf("again: %v", err)
		}
		p.set(func(p *plant) { p.invoke = silent })
		c = submit(t, q, "begun")
		synctest.Wait()
		if _, err := q.Cancel(t.Context(), dev1, c.ID); hub.CodeOf(err) != hub.PreconditionFailed {
			t.Errorf("of one that has begun: %v", err)
		}
	})
}

// A cancellation is what the store says of it.
func TestCancelWhileOthersChange(t *testing.T) {
	stale := hub.Errorf(hub.PreconditionFailed, "stale")
	for name, tc := range map[string]struct {
		failures int // of updates
		err      error
		code     hub.Code
		updates  int
		outcomes string
	}{
		"once":       {1, stale, 0, 2, "m cancelled"},
		"always":     {100, stale, hub.PreconditionFailed, casAttempts, ""},
		"store away": {100, errAway, hub.ServiceUnavailable, 1, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, p := newShelf(), newPlant()
			q, _ := start(t, s, p, "a")
			c := submit(t, q, "m")
			updates := 0
			s.fail = func(op string, _ Command) (error, error) {
				if op != "update" {
					return nil, nil
				}
				if updates++; updates <= tc.failures {
					return tc.err, nil
				}
				return nil, nil
			}
			_, err := q.Cancel(t.Context(), dev1, c.ID)
			if hub.CodeOf(err) != tc.code || updates != tc.updates || p.outcomes() != tc.outcomes {
				t.Errorf("%s: %v, %d updates, told %q", name, err, updates, p.outcomes())
			}
		})
	}
}

// A device's answer is taken up to the limit, and what is larger is told as that.
func TestSizeOfAnswers(t *testing.T) {
	for size, want := range map[int]hub.Code{MaxPayload: 0, MaxPayload + 1: hub.MessageTooLarge} {
		synctest.Test(t, func(t *testing.T) {
			s, p := newShelf(), newPlant()
			q, _ := start(t, s, p, "a")
			p.invoke = func(context.Context, Call) (Answer, error) {
				return Answer{Status: 207, Payload: make([]byte, size)}, nil
			}
			submit(t, q, "m")
			comes(q, p)
			if len(p.results) != 1 || s.len() != 0 {
				t.Fatalf("%d bytes: %d results, %d left", size, len(p.results), s.len())
			}
			r := p.results[0].Result
			if r.Code != want || want == 0 && (r.Status != 207 || len(r.Payload) != size) || want != 0 && r.Outcome != Failed {
				t.Errorf("%d bytes: %s, status %d, code %d", size, r.Outcome, r.Status, r.Code)
			}
		})
	}
}

// Nothing is decided as long as nobody knows whether the device is the same.
func TestGenerationThatIsNotKnown(t *testing.T) {
	for code, want := range map[hub.Code]string{hub.ServiceUnavailable: "m answered", hub.ModuleNotFound: "m failed"} {
		synctest.Test(t, func(t *testing.T) {
			s, p := newShelf(), newPlant()
			q, _ := start(t, s, p, "a")
			submit(t, q, "m")
			p.unknown = hub.Errorf(code, "no")
			comes(q, p)
			if got := p.outcomes(); code == hub.ServiceUnavailable && (got != "" || p.made() != "") {
				t.Errorf("%d: got %q, made %q", code, got, p.made())
			}
			p.set(func(p *plant) { p.unknown = nil })
			pass(2 * sweepInterval)
			if got := p.outcomes(); got != want {
				t.Errorf("%d: got %q, want %q", code, got, want)
			}
		})
	}
}

// A device that leaves between the claim and the call was not called: the
// command waits on.
func TestPutBack(t *testing.T) {
	for _, code := range []hub.Code{hub.DeviceNotOnline, hub.TooManyCalls, hub.Throttled} {
		synctest.Test(t, func(t *testing.T) {
			s, p := newShelf(), newPlant()
			q, _ := start(t, s, p, "a")
			submit(t, q, "one")
			submit(t, q, "two")
			p.invoke = func(context.Context, Call) (Answer, error) {
				p.set(func(p *plant) { p.ready[dev1], p.invoke = false, echo })
				return Answer{}, hub.Errorf(code, "just left")
			}
			comes(q, p)
			if got := p.outcomes(); got != "" || s.len() != 2 {
				t.Errorf("got %q, %d left", got, s.len())
			}
			comes(q, p)
			if got := p.outcomes(); got != "one answered, two answered" || p.made() != "one one two" {
				t.Errorf("got %q, made %q", got, p.made())
			}
		})
	}
}

// A node that dies in mid-call leaves an unknown, and nobody calls again.
func TestDeathInMidCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p, dead := newShelf(), newPlant(), newPlant()
		q, _ := start(t, s, p, "a")
		submit(t, q, "m")
		hang := make(chan struct{})
		defer close(hang)
		dead.invoke = func(context.Context, Call) (Answer, error) {
			<-hang
			return Answer{}, hub.Errorf(hub.ConnectionLost, "dead")
		}
		b, _ := start(t, s, dead, "b")
		comes(b, dead)
		comes(q, p) // the device connects to a living node
		pass(DefaultResponseTimeout + claimGrace + 2*sweepInterval)
		if got := p.outcomes() + dead.outcomes(); got != "m unknown" || p.made() != "" || dead.made() != "m" {
			t.Errorf("got %q, made %q and %q", got, p.made(), dead.made())
		}
		for _, c := range append(p.results, dead.results...) {
			if r := c.Result; r.Code != hub.GatewayTimeout || !strings.Contains(r.Message, "may or may not have been called") {
				t.Errorf("the result is %d %q", r.Code, r.Message)
			}
		}
		if s.len() != 0 {
			t.Error("it is left")
		}
	})
}

func TestRestartGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, stop := start(t, s, p, "a")
		submit(t, q, "m")
		stop()
		p.set(func(p *plant) { p.ready[dev1] = true }) // it came while nobody looked
		q, _ = start(t, s, p, "a")
		synctest.Wait()
		if got := p.outcomes(); got != "m answered" {
			t.Errorf("got %q", got)
		}
		if page, _, err := q.List(t.Context(), Query{}); err != nil || len(page) != 0 {
			t.Errorf("%v, %v are listed", page, err)
		}
	})
}

// An identity that is deleted, or made anew, does not get what was meant for
// the old one.
func TestOtherGeneration(t *testing.T) {
	for _, generation := range []string{"", "2"} {
		synctest.Test(t, func(t *testing.T) {
			s, p := newShelf(), newPlant()
			q, _ := start(t, s, p, "a")
			submit(t, q, "m")
			p.generation = generation
			comes(q, p)
			if got := p.outcomes(); got != "m failed" || p.made() != "" || p.results[0].Result.Code != hub.DeviceNotFound {
				t.Errorf("got %q, made %q", got, p.made())
			}
		})
	}
}

// Whatever request to the store fails, before or after it is done, the device
// is called once, and its answer is told.
func TestStoreFailures(t *testing.T) {
	for nth := range 12 {
		for _, after := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s, p := newShelf(), newPlant()
				q, _ := start(t, s, p, "a")
				submit(t, q, "m")
				n := 0
				s.fail = func(string, Command) (error, error) {
					n++
					switch {
					case n != nth+1:
						return nil, nil
					case after:
						return nil, errAway
					default:
						return errAway, nil
					}
				}
				comes(q, p)
				pass(3 * sweepInterval)
				if got := p.told(); got != "m answered" { // long before anybody else would care
					t.Errorf("request %d: got %q at once", nth, got)
				}
				pass(5 * time.Minute)
				if made, got := p.made(), p.told(); made != "m" || got != "m answered" || s.len() != 0 {
					t.Errorf("request %d: made %q, got %q, %d left", nth, made, got, s.len())
				}
				if n > 8 {
					t.Errorf("request %d: %d requests to the store", nth, n)
				}
			})
		}
	}
}

// A store that is away for less than a call may take costs no answer. Only a claim
// that was stored and can't be read is not used: nobody knows whose it is.
func TestShortStoreOutage(t *testing.T) {
	for nth := range 4 {
		for _, after := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s, p := newShelf(), newPlant()
				q, _ := start(t, s, p, "a")
				submit(t, q, "m")
				n, since := 0, time.Time{}
				s.fail = func(string, Command) (error, error) {
					if n++; n == nth+1 {
						since = time.Now()
					}
					switch {
					case since.IsZero() || time.Since(since) >= 20*time.Second:
						return nil, nil
					case after:
						return nil, errAway
					default:
						return errAway, nil
					}
				}
				comes(q, p)
				pass(5 * time.Minute)
				wantMade, want := "m", "m answered"
				if nth == 1 && after {
					wantMade, want = "", "m unknown"
				}
				if made, got := p.made(), p.told(); made != wantMade || got != want || s.len() != 0 {
					t.Errorf("from request %d on, after it %v: made %q, got %q, %d left", nth, after, made, got, s.len())
				}
			})
		}
	}
}

// The store is away for a minute, from any moment on.
func TestStoreOutage(t *testing.T) {
	for nth := range 8 {
		synctest.Test(t, func(t *testing.T) {
			s, p := newShelf(), newPlant()
			q, _ := start(t, s, p, "a")
			submit(t, q, "m")
			n, since := 0, time.Time{}
			s.fail = func(string, Command) (error, error) {
				if n++; n == nth+1 {
					since = time.Now()
				}
				if !since.IsZero() && time.Since(since) < time.Minute {
					return errAway, nil
				}
				return nil, nil
			}
			comes(q, p)
			pass(10 * time.Minute)
			outcomes := slices.Compact(strings.Split(p.outcomes(), ", "))
			if made := p.made(); made != "m" && made != "" || len(outcomes) != 1 || outcomes[0] == "" || s.len() != 0 {
				t.Errorf("from request %d on: made %q, got %q, %d left", nth, made, outcomes, s.len())
			}
		})
	}
}

func TestDeliveryIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		var reported []error
		q.Report = func(_ Command, err error) { reported = append(reported, err) }
		p.deliver = errors.New("no")
		submit(t, q, "m")
		comes(q, p)
		if s.len() != 1 || len(reported) != 1 {
			t.Errorf("%d left, reported %v", s.len(), reported)
		}
		if _, err := q.Cancel(t.Context(), dev1, p.first(s)); hub.CodeOf(err) != hub.JobNotFound {
			t.Errorf("cancel of one that has ended: %v", err)
		}
		pass(deliverAfter + 2*sweepInterval)
		if got := p.outcomes(); got != "m answered" || p.made() != "m" || s.len() != 0 {
			t.Errorf("got %q, made %q, %d left", got, p.made(), s.len())
		}
	})
}

// first is the id of the only command in s.
func (p *plant) first(s *shelf) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.all {
		return id
	}
	return ""
}

func TestSubmitRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		bad := order("m")
		bad.Wait = 0
		if _, err := q.Submit(t.Context(), bad); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("no wait: %v", err)
		}
		for range MaxDeviceCommands {
			submit(t, q, "m")
		}
		if _, err := q.Submit(t.Context(), order("m")); hub.CodeOf(err) != hub.QuotaExceeded {
			t.Errorf("one too many: %v", err)
		}
		p.generation = ""
		if _, err := q.Submit(t.Context(), order("m")); hub.CodeOf(err) != hub.DeviceNotFound {
			t.Errorf("unknown device: %v", err)
		}
	})
}

func TestLimitsOfSubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		q.Limits = Limits{Device: 2, All: 3}
		submit(t, q, "m")
		submit(t, q, "m")
		if _, err := q.Submit(t.Context(), order("m")); hub.CodeOf(err) != hub.QuotaExceeded {
			t.Errorf("one too many of the device: %v", err)
		}
		other := order("m")
		other.ID.Device = "other"
		if _, err := q.Submit(t.Context(), other); err != nil {
			t.Errorf("another device: %v", err)
		}
		if _, err := q.Submit(t.Context(), other); hub.CodeOf(err) != hub.QuotaExceeded {
			t.Errorf("one too many of all: %v", err)
		}
	})
}

// What was not stored takes no place.
func TestPlaceOfAFailedSubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		q.Limits = Limits{Device: 1, All: 1}
		s.fail = func(string, Command) (error, error) { return errAway, nil }
		if _, err := q.Submit(t.Context(), order("m")); hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("while the store is away: %v", err)
		}
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		submit(t, q, "m")
	})
}

// Those who submit at the same time share the room that there is.
func TestLimitsOfManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		q.Limits = Limits{Device: 5, All: 8}
		var wg sync.WaitGroup
		for i := range 100 {
			o := order("m")
			o.ID.Device = fmt.Sprintf("dev%d", i%2)
			wg.Go(func() {
				_, err := q.Submit(t.Context(), o)
				if err != nil && hub.CodeOf(err) != hub.QuotaExceeded {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := s.len(); n != 8 {
			t.Errorf("%d commands wait", n)
		}
		for range 2 { // what was refused holds no place
			page, _, err := q.List(t.Context(), Query{For: dev1})
			if err != nil || len(page) == 0 || len(page) > 5 {
				t.Fatalf("%d commands wait for dev1, %v", len(page), err)
			}
			if _, err := q.Cancel(t.Context(), dev1, page[0].ID); err != nil {
				t.Fatal(err)
			}
			submit(t, q, "m")
		}
	})
}

func TestList(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := new(Queue).List(over, Query{}); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("before it is loaded: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		var ids []string
		for i := range 7 {
			o := order("m")
			o.ID = hub.Identity{Device: fmt.Sprintf("dev%d", i%2)}
			c, err := q.Submit(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			pass(time.Millisecond)
			ids = append(ids, c.ID)
		}
		var got []string
		for after, more := "", true; more; {
			var page []Command
			var err error
			if page, more, err = q.List(t.Context(), Query{After: after, Limit: 3}); err != nil {
				t.Fatal(err)
			}
			for _, c := range page {
				got = append(got, c.ID)
			}
			after = got[len(got)-1]
		}
		if !slices.Equal(got, ids) {
			t.Errorf("got %q, want %q", got, ids)
		}
		page, more, err := q.List(t.Context(), Query{For: dev1})
		if err != nil || more || len(page) != 3 {
			t.Errorf("got %d of dev1, more %v, %v", len(page), more, err)
		}
	})
}

func TestPagesOfList(t *testing.T) {
	t.Parallel()
	q := new(Queue)
	q.init()
	for i := range maxPage + 1 {
		q.index.put(Command{For: dev1, ID: fmt.Sprintf("%04d", i), State: Pending})
	}
	q.index.put(Command{For: dev1, ID: "9998", State: Finished})
	q.index.put(Command{For: dev1, ID: "9999", State: coming})
	q.index.load()
	for _, tc := range []struct {
		query Query
		n     int
		more  bool
	}{
		{Query{}, maxPage, true},
		{Query{Limit: 1}, 1, true},
		{Query{Limit: maxPage}, maxPage, true},
		{Query{Limit: maxPage + 1}, maxPage, true},
		{Query{After: "0000"}, maxPage, false},
		{Query{After: "0000", Limit: maxPage}, maxPage, false},
		{Query{After: "0990", Limit: 10}, 10, false},
		{Query{After: "0990", Limit: 9}, 9, true},
		{Query{For: hub.Identity{Device: "other"}}, 0, false},
	} {
		page, more, err := q.List(t.Context(), tc.query)
		if err != nil || len(page) != tc.n || more != tc.more {
			t.Errorf("%+v: %d commands, more %v, %v", tc.query, len(page), more, err)
		}
	}
}

// A listing is read from memory, where payloads have no place.
func TestListIsWithoutPayloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		o := order("m")
		o.Payload = []byte("[1]")
		if _, err := q.Submit(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		page, _, err := q.List(t.Context(), Query{})
		if err != nil || len(page) != 1 || page[0].Payload != nil {
			t.Errorf("%+v, %v", page, err)
		}
	})
}

// The node that has stored a command does not wait for the store to tell of it.
func TestOwnCommandsAreKnownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		s.mu.Lock()
		s.watchers = nil
		s.mu.Unlock()
		submit(t, q, "waits")
		if page, _, err := q.List(t.Context(), Query{}); err != nil || len(page) != 1 {
			t.Errorf("%+v, %v", page, err)
		}
		p.set(func(p *plant) { p.ready[dev1] = true })
		submit(t, q, "now")
		synctest.Wait()
		if got := p.made(); got != "waits now" {
			t.Errorf("made %q", got)
		}
	})
}

// What went while nobody watched is not there after that.
func TestWatchingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q := &Queue{Node: "a", Local: p, Devices: p, Commands: s, Results: p}
		for round := range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- q.Run(ctx) }()
			synctest.Wait()
			if page, _, err := q.List(t.Context(), Query{}); err != nil || len(page) != 0 {
				t.Errorf("round %d: %+v, %v", round, page, err)
			}
			submit(t, q, "m")
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			clear(s.all)
		}
	})
}

// unwatched is a shelf whose watch ends.
type unwatched struct{ *shelf }

func (unwatched) Watch(context.Context, Watcher) error { return errAway }

// Run tells that the store can't be watched, and nothing of it goes on then.
func TestRunEndsWithItsWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlant()
		q := &Queue{Node: "a", Local: p, Devices: p, Commands: unwatched{newShelf()}, Results: p}
		if err := q.Run(t.Context()); hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("got %v", err)
		}
	})
}

// Who asks before the store could be watched hears of what is there when it can.
func TestListAcrossAnInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q := &Queue{Node: "a", Local: p, Devices: p, Commands: s, Results: p}
		submit(t, q, "m")
		listed := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() {
			page, _, err := q.List(ctx, Query{})
			if err == nil && len(page) != 1 {
				err = fmt.Errorf("%d commands", len(page))
			}
			listed <- err
		}()
		synctest.Wait()
		running, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- q.Run(running) }()
		if err := <-listed; err != nil {
			t.Error(err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The store is not asked about devices that come and have nothing waiting.
func TestArrivalsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newShelf(), newPlant()
		q, _ := start(t, s, p, "a")
		s.fail = func(op string, _ Command) (error, error) {
			t.Errorf("the store is asked to %s", op)
			return nil, nil
		}
		comes(q, p)
	})
}
