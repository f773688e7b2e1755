package attack

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// TestRESTIfMatch has many operators count in one twin, and in one device, each
// by the etag that it has read: no count is lost, and who came too late hears so.
func TestRESTIfMatch(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	for kind, c := range map[string]struct {
		policy, verb, path string
		body               func(n int) string
		count              func(a answer) string
	}{
		"twin": {
			"service", "PATCH", "/twins/victim" + version,
			func(n int) string { return `{"tags":{"n":` + strconv.Itoa(n) + `}}` },
			func(a answer) string { return answer{body: []byte(a.member(t, "tags"))}.member(t, "n") },
		},
		"device": {
			"registryReadWrite", "PUT", "/devices/victim" + version,
			func(n int) string {
				return `{"deviceId":"victim","authentication":{"type":"selfSigned"},"statusReason":"` + strconv.Itoa(n) + `"}`
			},
			func(a answer) string { return a.member(t, "statusReason") },
		},
	} {
		t.Run(kind, func(t *testing.T) {
			first := g.operator(t, c.policy)
			first.do(t, c.verb, c.path, c.body(0), "If-Match", "*").ok(t, 200)
			var won, lost atomic.Int64
			var wg sync.WaitGroup
			var mu sync.Mutex
			var fault error
			const at, each = 24, 15
			for range at {
				o := g.operator(t, c.policy)
				wg.Go(func() {
					for range each {
						err := count(t, o, c.verb, c.path, func(a answer) string {
							have, _ := strconv.Atoi(c.count(a))
							return c.body(have + 1)
						}, &won, &lost)
						if err != nil {
							mu.Lock()
							fault = errors.Join(fault, err)
							mu.Unlock()
							return
						}
					}
				})
			}
			wg.Wait()
			if fault != nil {
				t.Fatal(fault)
			}
			if got, want := c.count(first.do(t, "GET", c.path, "")), strconv.FormatInt(won.Load(), 10); got != want {
				t.Errorf("%s were counted, %s were told that theirs is", got, want)
			}
			t.Logf("%d operators at once: %d counted, %d came too late", at, won.Load(), lost.Load())
		})
	}
	n.before = g.snapshot(t)
	n.finish(t)
}

// count reads, and writes what is next.
func count(t *testing.T, o *operator, verb, path string, next func(answer) string, won, lost *atomic.Int64) error {
	a, err := o.try(t.Context(), "GET", path, "")
	if err != nil || a.status != 200 {
		return errors.Join(fmt.Errorf("%d %.200q", a.status, a.body), err)
	}
	b, err := o.try(t.Context(), verb, path, next(a), "If-Match", `"`+a.member(t, "etag")+`"`)
	switch {
	case err != nil:
		return err
	case b.status == 200:
		won.Add(1)
	case b.status == hub.PreconditionFailed.Status():
		lost.Add(1)
	default:
		return fmt.Errorf("%d %.200q", b.status, b.body)
	}
	return nil
}

// TestRESTCreateRace has many create the same device, module and configuration,
// and delete what is there: of each one succeeds.
func TestRESTCreateRace(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	for path, body := range map[string]string{
		"/devices/new": `{"deviceId":"new"}`, "/devices/victim/modules/new": `{"deviceId":"victim","moduleId":"new"}`,
		"/configurations/new": `{"id":"new","content":{"deviceContent":{"properties.desired.x":1}},"targetCondition":"deviceId = 'nobody'","priority":1}`,
	} {
		for _, verb := range []string{"PUT", "DELETE"} {
			t.Run(verb+" "+path, func(t *testing.T) {
				var good atomic.Int64
				var wg sync.WaitGroup
				for range 24 {
					o := g.operator(t, "iothubowner")
					wg.Go(func() {
						headers := []string{"If-Match", "*"}
						if verb == "PUT" {
							headers = nil
						}
						a, err := o.try(t.Context(), verb, path+version, body, headers...)
						switch {
						case err != nil:
							t.Error(err)
						case a.status == 200, a.status == 201, a.status == 204:
							good.Add(1)
						default:
							a.refused(t, hub.DeviceAlreadyExists, hub.ModuleAlreadyExists, hub.ConfigurationAlreadyExists,
								hub.DeviceNotFound, hub.ModuleNotFound, hub.ConfigurationNotFound, hub.PreconditionFailed)
						}
					})
				}
				wg.Wait()
				if good.Load() != 1 {
					t.Errorf("%d of 24 have succeeded, want one", good.Load())
				}
			})
		}
	}
	n.before = g.snapshot(t)
	n.finish(t)
}

// TestRESTForms sends If-Match in forms that are none: they match nothing, and
// never everything.
func TestRESTForms(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	o := g.operator(t, "iothubowner")
	for name, etag := range map[string]string{
		"a weak one": `W/"*"`, "a list": `"x", "*"`, "a list with a star": `*, *`, "two stars": `**`, "single quotes": `'*'`,
		"one quote": `"`, "an open quote": `"*`, "10,000 bytes": `"` + strings.Repeat("A", 10_000) + `"`, "an escape": `"%2A"`, "null": "null", "zero": `"AAAAAAAAAAA="`,
	} {
		for verb, path := range map[string]string{"PUT": "/devices/victim", "DELETE": "/devices/victim", "PATCH": "/twins/victim"} {
			t.Run(name+" "+verb, func(t *testing.T) {
				o.do(t, verb, path+version, `{"deviceId":"victim","tags":{"x":1}}`, "If-Match", etag).
					refused(t, hub.PreconditionFailed, hub.ArgumentInvalid)
			})
		}
	}
	o.do(t, "DELETE", "/devices/victim"+version, "").refused(t, hub.PreconditionFailed)
	n.finish(t)
}
