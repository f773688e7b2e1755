package faults

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

// rival is one of two clients with one identity. Each of its connections has a
// reported property of its own, which it sets to numbers that rise.
type rival struct {
	*device
	name     string
	acked    map[string]int     // by property
	versions map[int64]struct{} // that were acknowledged
	refused  map[string]int
	faults   []string
}

// maxRounds keeps the properties of both rivals within a twin.
const maxRounds = 300

// round connects and patches until it is displaced.
func (r *rival) round(name string) error {
	c, err := r.join(twinAnswers)
	if err != nil {
		return err
	}
	defer c.close()
	for sent, got := 0, 0; ; {
		for ; sent < got+4; sent++ {
			if err := c.say(twinReported+fmt.Sprint(sent+1), fmt.Sprintf(`{%q:%d}`, name, sent+1)); err != nil {
				break // displaced: what was answered before is to be read
			}
		}
		m, err := c.hear()
		if err != nil {
			return err
		}
		got++
		a, ok := twinResult(m)
		_, twice := r.versions[a.version]
		switch {
		case !ok:
			r.faults = append(r.faults, fmt.Sprintf("nobody asked for %s", m.Topic))
		case a.status != "204":
			r.refused[a.status]++
			if _, err := a.refusal(); err != nil {
				r.faults = append(r.faults, err.Error())
			}
		case a.rid != fmt.Sprint(got) || twice:
			r.faults = append(r.faults, fmt.Sprintf("the answer to patch %d of %s is %s; its version was there before: %v", got, name, m.Topic, twice))
		default:
			r.acked[name], r.versions[a.version] = got, struct{}{}
		}
		if got == 2000 {
			return nil // nobody else is left
		}
	}
}

// TestRivalsPatchTheirTwin lets two clients with one identity displace each
// other amid twin patches: no write of a displaced one is acknowledged that is
// not in the twin, and no version is given twice.
func TestRivalsPatchTheirTwin(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	d := newDevice(t, g, "torn")
	var all []*rival
	for _, name := range []string{"a", "b"} {
		all = append(all, &rival{device: d, name: name, acked: map[string]int{}, versions: map[int64]struct{}{}, refused: map[string]int{}})
	}
	stop := time.After(3 * time.Second)
	over := make(chan struct{})
	go func() {
		<-stop
		close(over)
	}()
	var wg sync.WaitGroup
	rounds := make([]int, len(all))
	for i, r := range all {
		wg.Go(func() {
			for rounds[i] < maxRounds {
				select {
				case <-over:
					return
				default:
				}
				if err := r.round(fmt.Sprintf("%s%d", r.name, rounds[i])); err != nil && !isClosed(err) && !isLater(err) {
					r.faults = append(r.faults, fmt.Sprintf("round %d: %v", rounds[i], err))
					return
				}
				rounds[i]++
			}
		})
	}
	wg.Wait()
	innocent.finish(t)
	stored, err := readTwin(g.JS, "torn")
	if err != nil {
		t.Fatal(err)
	}
	versions, acked, last := map[int64]struct{}{}, 0, int64(0)
	for _, r := range all {
		report(t, r.name, r.faults)
		for name, n := range r.acked {
			acked += n
			if number(stored.Properties.Reported[name]) < float64(n) {
				t.Errorf("%s=%v is in the twin, and %d was acknowledged", name, stored.Properties.Reported[name], n)
			}
		}
		for v := range r.versions {
			if _, twice := versions[v]; twice {
				t.Errorf("version %d was acknowledged to both", v)
			}
			versions[v], last = struct{}{}, max(last, v)
		}
	}
	if v := number(stored.Properties.Reported["$version"]); v < float64(last) {
		t.Errorf("the twin has version %v of reported properties, and %d was acknowledged", v, last)
	}
	if rounds[0] < 10 || rounds[1] < 10 || acked < 100 {
		t.Errorf("%v rounds with %d patches: that was no fight", rounds, acked)
	}
	t.Logf("%v connections, %d patches acknowledged, version %v; refused: %v %v", rounds, acked, stored.Properties.Reported["$version"], all[0].refused, all[1].refused)
}
