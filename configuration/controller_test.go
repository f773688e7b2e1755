package configuration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

// running is a controller at work on a world, with a clock that a test moves.
type running struct {
	*Controller

	now  atomic.Int64 // seconds
	stop func()
}

func run(tb testing.TB, w *world, lease Lease) *running {
	tb.Helper()
	r, before := &running{}, w.watched()
	r.now.Store(1)
	ctx, cancel := context.WithCancel(context.Background())
	r.Controller = &Controller{
		Store: w, Language: w, Fleet: w, Board: w, Twins: fakeTwins{w}, Lease: lease,
		Now: func() time.Time { return time.Unix(r.now.Load(), 0) },
		Report: func(t Trouble) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.troubles = append(w.troubles, t)
		},
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	r.stop = func() {
		cancel()
		wg.Wait()
	}
	tb.Cleanup(r.stop)
	reaches(tb, func() string { return fmt.Sprint(r.current.Load() != nil && w.watched() == before+1) }, "true")
	return r
}

// later lets the guards forget.
func (r *running) later() { r.now.Add(3600) }

// reaches waits until a state is got.
func reaches(tb interface {
	Helper()
	Errorf(string, ...any)
}, got func() string, want string,
) bool {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if got() == want {
			return true
		}
		<-tick.C
	}
	tb.Errorf("the state is not reached (-want +got):\n%s", cmp.Diff(want, got()))
	return false
}

// settles looks at everything once more, and fails when something is written.
func (r *running) settles(tb interface {
	Helper()
	Errorf(string, ...any)
}, w *world,
) {
	tb.Helper()
	wait := func() string { return fmt.Sprint(r.sweeps.idle() && r.queue.idle()) }
	reaches(tb, wait, "true")
	before := w.count()
	if err := r.whole(context.Background()); err != nil {
		tb.Errorf("sweep: %v", err)
	}
	reaches(tb, wait, "true")
	if n := w.count() - before; n > 0 {
		tb.Errorf("%d writes when there was nothing to do", n)
	}
}

const (
	base = `{"modulesContent":{"$edgeAgent":{"properties.desired":{"modules":{"m":1}}},"$edgeHub":{"properties.desired":{"routes":{}}},"m":{"properties.desired":{"x":1}}}}`
	// layer changes one value of a module, and one of the agent.
	layer = `{"modulesContent":{"$edgeAgent":{"properties.desired.modules.n":2},"m":{"properties.desired.y.z":3}}}`
)

// TestGoneWhileItIsShown: a configuration that is removed after a worker has seen
// that it applies, and swept before that is shown, is shown nowhere in the end.
func TestGoneWhileItIsShown(t *testing.T) {
	w := newWorld()
	w.device("d", false)
	var r *running
	started := make(chan struct{})
	w.showing = sync.OnceFunc(func() {
		<-started
		w.remove("c")
		reaches(t, func() string { return fmt.Sprint(r.sweeps.idle()) }, "true")
	})
	r = run(t, w, nil)
	close(started)
	puts("c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`)(t, w)
	reaches(t, func() string { return fmt.Sprint(r.Count()) + w.state("d") }, "0d {} \n")
	r.settles(t, w)
}

// TestGoneBeforeTheWriteIsSeen: a configuration, the only one, is removed while
// this node does not know yet what it has written itself. That comes later, and
// is taken back then.
func TestGoneBeforeTheWriteIsSeen(t *testing.T) {
	w := newWorld()
	w.device("d", false)
	r := run(t, w, nil)
	puts("c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`)(t, w)
	reaches(t, func() string { return w.state("d") }, "d {\"x\":1} c:Applied\n")
	w.mu.Lock()
	late := w.twins[identity("d")].desired
	w.mu.Unlock()
	w.remove("c")
	reaches(t, func() string { return fmt.Sprint(r.Count()) + w.state("d") }, "0d {} \n")
	reaches(t, func() string { return fmt.Sprint(r.sweeps.idle() && r.queue.idle()) }, "true")
	w.mu.Lock()
	w.twins[identity("d")].desired = late
	w.twins[identity("d")].etag++
	w.mu.Unlock()
	w.tell(identity("d"))
	reaches(t, func() string { return w.state("d") }, "d {} \n")
	r.settles(t, w)
}

func TestController(t *testing.T) {
	for name, tc := range map[string]struct {
		do    []func(t *testing.T, w *world)
		names []string
		want  string
	}{
		"content goes where its path says, beside what is there": {
			do: steps(
				operates("d", `{"a":{"own":1},"other":2}`),
				puts("c", 1, "*", `{"deviceContent":{"properties.desired.a.b":{"x":[1,{"y":null}]},"properties.desired":{"n":1.50}}}`)),
			names: []string{"d"},
			want:  `d {"a":{"b":{"x":[1,{"y":null}]},"own":1},"n":1.50,"other":2} c:Applied`,
		},
		"the highest priority wins": {
			do: steps(
				puts("low", 1, "*", `{"deviceContent":{"properties.desired":{"x":1,"low":1}}}`),
				puts("high", 2, "*", `{"deviceContent":{"properties.desired":{"x":2}}}`)),
			names: []string{"d"},
			want:  `d {"x":2} high:Applied low:Targeted`,
		},
		"of two with one priority the newest wins": {
			do:    steps(putsAt("new", 20, "*", `{"deviceContent":{"properties.desired.x":"new"}}`), putsAt("old", 10, "*", `{"deviceContent":{"properties.desired.x":"old"}}`)),
			names: []string{"d"},
			want:  `d {"x":"new"} new:Applied old:Targeted`,
		},
		"the next one applies when the first is gone": {
			do: steps(
				puts("low", 1, "*", `{"deviceContent":{"properties.desired":{"x":1,"low":1}}}`),
				puts("high", 2, "*", `{"deviceContent":{"properties.desired":{"x":2,"high":{"a":1,"b":{}}}}}`), shows("d", "high:Applied low:Targeted"),
				removes("high")),
			names: []string{"d"},
			want:  `d {"low":1,"x":1} low:Applied`,
		},
		"what it wrote is taken back, and what operators wrote stays": {
			do: steps(
				operates("d", `{"a":{"own":1},"same":1}`),
				puts("c", 1, "tags.t = 'x'", `{"deviceContent":{"properties.desired":{"a":{"b":1},"same":1,"gone":{"deep":{"er":1}}}}}`),
				tags("d", "x"), shows("d", "c:Applied"), tags("d", "y")),
			names: []string{"d"},
			want:  `d {"a":{"own":1},"same":1} `,
		},
		"without a condition it selects nothing": {
			do:    steps(puts("c", 1, "", `{"deviceContent":{"properties.desired.x":1}}`)),
			names: []string{"d"},
			want:  `d {} `,
		},
		"a value that an operator overwrites comes back": {
			do: steps(
				puts("c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`), shows("d", "c:Applied"),
				operates("d", `{"x":2,"y":3}`)),
			names: []string{"d"},
			want:  `d {"x":1,"y":3} c:Applied`,
		},
		"one that comes later is configured": {
			do:    steps(puts("c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`), adds("late")),
			names: []string{"late"},
			want:  `late {"x":1} c:Applied`,
		},
		"null in the content means that nothing is there": {
			do:    steps(operates("d", `{"x":2}`), puts("c", 1, "*", `{"deviceContent":{"properties.desired":{"x":null,"y":null}}}`)),
			names: []string{"d"},
			want:  `d {} c:Applied`,
		},
		"an object takes the place of a value, and the reverse": {
			do:    steps(operates("d", `{"x":2,"y":{"a":1}}`), puts("c", 1, "*", `{"deviceContent":{"properties.desired":{"x":{"a":1},"y":2}}}`)),
			names: []string{"d"},
			want:  `d {"x":{"a":1},"y":2} c:Applied`,
		},
		"module content is for modules": {
			do: steps(
				puts("c", 1, "FROM devices.modules WHERE tags.t = 'x'", `{"moduleContent":{"properties.desired.x":1}}`),
				adds("d/m"), adds("d/n"), tags("d/m", "x"), tags("d", "x")),
			names: []string{"d", "d/m", "d/n"},
			want:  "d {} \nd/m {\"x\":1} c:Applied\nd/n {} ",
		},
		"a deployment is for edge devices, makes modules and says all of theirs": {
			do: steps(
				operates("e/$edgeAgent", `{"modules":{"old":1},"x":1}`),
				puts("base", 1, "*", base)),
			names: []string{"d", "e", "e/$edgeAgent", "e/$edgeHub", "e/m"},
			want: "d {} \ne {} \n" + `e/$edgeAgent {"modules":{"m":1}} base:Applied` + "\n" +
				`e/$edgeHub {"routes":{}} base:Applied` + "\n" + `e/m {"x":1} base:Applied`,
		},
		"a layer goes on top of its base": {
			do:    steps(puts("base", 1, "*", base), puts("layer", 2, "*", layer)),
			names: []string{"e/$edgeAgent", "e/$edgeHub", "e/m"},
			want: `e/$edgeAgent {"modules":{"m":1,"n":2}} base:Applied layer:Applied` + "\n" +
				`e/$edgeHub {"routes":{}} base:Applied` + "\n" + `e/m {"x":1,"y":{"z":3}} base:Applied layer:Applied`,
		},
		"a layer below the base does nothing": {
			do:    steps(puts("base", 3, "*", base), puts("layer", 2, "*", layer)),
			names: []string{"e/$edgeAgent", "e/m"},
			want:  `e/$edgeAgent {"modules":{"m":1}} base:Applied layer:Targeted` + "\n" + `e/m {"x":1} base:Applied layer:Targeted`,
		},
		"a layer without a base does nothing": {
			do:    steps(puts("layer", 2, "*", layer)),
			names: []string{"e/$edgeAgent", "e/m"},
			want:  `e/$edgeAgent {} layer:Targeted` + "\n" + `e/m no such twin `,
		},
		"a layer that goes takes its own with it": {
			do: steps(
				puts("base", 1, "*", strings.Replace(base, `,"m":{"properties.desired":{"x":1}}`, "", 1)), puts("layer", 2, "*", layer),
				shows("e/m", "layer:Applied"), removes("layer")),
			names: []string{"e/$edgeAgent", "e/m"},
			want:  `e/$edgeAgent {"modules":{"m":1}} base:Applied` + "\n" + `e/m {} `,
		},
		"a device that its last deployment leaves keeps all": {
			do:    steps(puts("base", 1, "*", base), shows("e/m", "base:Applied"), shows("e/$edgeAgent", "base:Applied"), removes("base")),
			names: []string{"e/$edgeAgent", "e/m"},
			want:  `e/$edgeAgent {"modules":{"m":1}} ` + "\n" + `e/m {"x":1} `,
		},
		"the next deployment takes the place of the last": {
			do: steps(
				puts("a", 2, "*", base), puts("b", 1, "*", `{"modulesContent":{"$edgeAgent":{"properties.desired":{"modules":{}}}}}`),
				shows("e/m", "a:Applied"), removes("a")),
			names: []string{"e/$edgeAgent", "e/m"},
			want:  `e/$edgeAgent {"modules":{}} b:Applied` + "\n" + `e/m {} `,
		},
		"somebody is faster": {
			do:    steps(behind(1), puts("c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`)),
			names: []string{"d"},
			want:  `d {"x":1} c:Applied`,
		},
		"NATS is away": {
			do:    steps(fails(hub.Errorf(hub.ServiceUnavailable, "away")), puts("c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`)),
			names: []string{"d"},
			want:  `d {"x":1} c:Applied`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.device("d", false)
			w.device("e", true)
			w.device("e/$edgeAgent", false)
			r := run(t, w, nil)
			for _, do := range tc.do {
				do(t, w)
				r.later()
			}
			reaches(t, func() string { return w.state(tc.names...) }, tc.want+"\n")
			r.settles(t, w)
			if got := w.state(tc.names...); got != tc.want+"\n" {
				t.Errorf("after another sweep: %s", cmp.Diff(tc.want, got))
			}
		})
	}
}

type step = func(*testing.T, *world)

func steps(all ...step) []step { return all }

func operates(name, patch string) step {
	return func(_ *testing.T, w *world) { w.operate(name, patch) }
}

func puts(id string, priority int, condition, content string) step {
	return func(t *testing.T, w *world) { w.put(config(t, id, priority, condition, content)) }
}

func putsAt(id string, created int64, condition, content string) step {
	return func(t *testing.T, w *world) {
		c := config(t, id, 1, condition, content)
		c.Created = time.Unix(created, 0)
		w.put(c)
	}
}

func removes(id string) step { return func(_ *testing.T, w *world) { w.remove(id) } }

func tags(name, tag string) step { return func(_ *testing.T, w *world) { w.tag(name, tag) } }

func adds(name string) step { return func(_ *testing.T, w *world) { w.device(name, false) } }

func behind(n int) step { return func(_ *testing.T, w *world) { w.behind = n } }

func fails(err error) step { return func(_ *testing.T, w *world) { w.fail = err } }

// shows waits until a twin shows this.
func shows(name, want string) step {
	return func(t *testing.T, w *world) {
		t.Helper()
		reaches(t, func() string { return w.shown(name) }, want)
	}
}

// TestNewController restarts it after a configuration is gone that nobody has
// taken back.
func TestNewController(t *testing.T) {
	w := newWorld()
	w.device("d", false)
	w.put(config(t, "c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`))
	r := run(t, w, nil)
	reaches(t, func() string { return w.state("d") }, "d {\"x\":1} c:Applied\n")
	r.stop()
	w.remove("c")
	w.Show(identity("d"), nil) // what is shown is in memory
	r = run(t, w, nil)
	reaches(t, func() string { return w.state("d") }, "d {} \n")
	r.settles(t, w)
}

// held is a lease that a test gives.
type held struct {
	is  atomic.Bool
	got chan struct{}
}

func (l *held) Held() bool { return l.is.Load() }

func (l *held) Run(ctx context.Context, got func()) {
	for {
		select {
		case <-l.got:
			l.is.Store(true)
			got()
		case <-ctx.Done():
			return
		}
	}
}

func TestLease(t *testing.T) {
	w := newWorld()
	w.device("d", false)
	w.device("e", true)
	w.put(config(t, "c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`), config(t, "b", 1, "*", base))
	lease := &held{got: make(chan struct{})}
	r := run(t, w, lease)
	reaches(t, func() string { return w.state("d") }, "d {} c:Targeted\n")
	r.settles(t, w)
	if len(w.created) > 0 {
		t.Errorf("modules were made without the lease: %v", w.created)
	}
	lease.got <- struct{}{}
	reaches(t, func() string { return w.state("d", "e/m") }, "d {\"x\":1} c:Applied\ne/m {\"x\":1} b:Applied\n")
}

// TestTwoWriters lets two controllers believe that they alone write.
func TestTwoWriters(t *testing.T) {
	w := newWorld()
	var want strings.Builder
	var names []string
	for i := range 50 {
		name := fmt.Sprintf("d%02d", i)
		w.device(name, false)
		names = append(names, name)
		fmt.Fprintf(&want, "%s {\"x\":1} c:Applied\n", name)
	}
	w.put(config(t, "c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`))
	a, b := run(t, w, nil), run(t, w, nil)
	reaches(t, func() string { return w.state(names...) }, want.String())
	a.settles(t, w)
	b.settles(t, w)
	if n := w.count(); n != 50 {
		t.Errorf("there were %d writes, want one for each of 50 devices", n)
	}
}

// TestFight has an operator who always overwrites. The configuration always
// comes back, but slower and slower, and it is told.
func TestFight(t *testing.T) {
	w := newWorld()
	w.device("d", false)
	w.put(config(t, "c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`))
	r := run(t, w, nil)
	for range freeWrites {
		reaches(t, func() string { return w.state("d") }, "d {\"x\":1} c:Applied\n")
		w.operate("d", `{"x":2}`)
	}
	reaches(t, func() string { return fmt.Sprint(r.writes.wait(identity("d"), "") > 0, w.shown("d")) }, "truec:Targeted")
	if n := w.count(); n != freeWrites {
		t.Errorf("%d writes, want %d and then a pause", n, freeWrites)
	}
	w.mu.Lock()
	troubles := w.troubles
	w.mu.Unlock()
	if len(troubles) != 1 || troubles[0].Configuration != "c" || troubles[0].ID != identity("d") {
		t.Errorf("troubles: %+v, want one about c and d", troubles)
	}
	r.later()
	reaches(t, func() string { return w.state("d") }, "d {\"x\":1} c:Applied\n")
}

// TestUnstable has a condition that is true until it is applied.
func TestUnstable(t *testing.T) {
	w := newWorld()
	w.device("d", false)
	w.operate("d", `{"x":1}`)
	w.put(config(t, "c", 1, "properties.desired.x = 1", `{"deviceContent":{"properties.desired.x":2}}`),
		config(t, "e", 1, "properties.desired.x = 2", `{"deviceContent":{"properties.desired.x":1}}`))
	r := run(t, w, nil)
	reaches(t, func() string { return fmt.Sprint(r.writes.wait(identity("d"), "") > 0) }, "true")
	if n := w.count(); n > freeWrites {
		t.Errorf("%d writes before the first pause, want %d", n, freeWrites)
	}
}

func TestRefusedWrite(t *testing.T) {
	w := newWorld()
	w.device("d", false)
	w.fail = hub.Errorf(hub.ArgumentInvalid, "the desired properties are too big")
	w.put(config(t, "c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`))
	run(t, w, nil)
	reaches(t, func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		return fmt.Sprint(len(w.troubles))
	}, "1")
	if got := w.troubles[0]; got.Code != hub.ArgumentInvalid || !strings.Contains(got.Message, "too big") || !errors.Is(got.Err, &hub.Error{Code: hub.ArgumentInvalid}) {
		t.Errorf("trouble: %+v", got)
	}
	if got := w.state("d"); got != "d {} c:Targeted\n" {
		t.Errorf("state: %s", got)
	}
}

// TestMendedConfiguration has a twin refuse a configuration. One that is made in
// its place has not to wait for that.
func TestMendedConfiguration(t *testing.T) {
	w := newWorld()
	w.device("d", false)
	w.fail = hub.Errorf(hub.ArgumentInvalid, "the desired properties are too big")
	w.put(config(t, "c", 1, "*", `{"deviceContent":{"properties.desired.x":1}}`))
	r := run(t, w, nil)
	reaches(t, func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		return fmt.Sprint(len(w.troubles))
	}, "1")
	reaches(t, func() string { return fmt.Sprint(r.sweeps.idle()) }, "true")
	if err := r.whole(t.Context()); err != nil { // the same is not tried again
		t.Fatal(err)
	}
	w.remove("c")
	reaches(t, func() string { return w.state("d") }, "d {} \n")
	w.put(config(t, "c", 1, "*", `{"deviceContent":{"properties.desired.x":2}}`))
	reaches(t, func() string { return w.state("d") }, "d {\"x\":2} c:Applied\n")
	if n := w.count(); n != 1 {
		t.Errorf("there were %d writes, want 1", n)
	}
}

func TestGuard(t *testing.T) {
	now := time.Unix(1000, 0)
	g := newGuard(func() time.Time { return now }, freeWrites)
	id := identity("d")
	var pauses []string
	for range 16 {
		now = now.Add(g.wait(id, ""))
		_, pause := g.did(id)
		pauses = append(pauses, pause.String())
	}
	want := "0s 0s 0s 1s 2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 5m0s 5m0s 5m0s 5m0s"
	if got := strings.Join(pauses, " "); got != want {
		t.Errorf("pauses %s, want %s", got, want)
	}
	now = now.Add(2*longest + quiet + time.Second)
	if n, _ := g.did(id); n != 1 {
		t.Errorf("after a long time it is the %d. time, want the first", n)
	}
	for i := range maxStrikes + 10 {
		g.did(hub.Identity{Device: fmt.Sprint(i)})
	}
	if len(g.recent) > maxStrikes {
		t.Errorf("it remembers %d", len(g.recent))
	}
	if n, _ := g.did(id); n != 2 {
		t.Errorf("of the generation before it is the %d. time, want the second", n)
	}
}

func (w *world) watched() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.loads)
}
