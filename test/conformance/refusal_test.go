package conformance

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

// otherKey is a well-formed key that belongs to nobody.
const otherKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// refused checks that each refusal reaches the application as the error that the
// SDK documents for it, and at once.
func refused(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	who := g.create(id)
	off := g.create(id + "-off")
	g.cli("device", "disable", id+"-off")
	unknown := identity{ConnectionString: withDevice(who.ConnectionString, id, id+"-unknown")}
	wrong := identity{ConnectionString: withKey(who.ConnectionString, otherKey)}
	d := s.start(t)
	cases := []struct {
		name  string
		id    string
		who   identity
		extra args
		want  string
	}{
		{"wrong key", id, wrong, nil, s.unauthorized},
		{"unknown device", id + "-unknown", unknown, nil, s.unauthorized},
		{"expired token", id, who, s.expired(g, who, id), s.unauthorized},
		{"disabled device", id + "-off", off, nil, s.disabled},
	}
	for _, c := range cases {
		extra := args{"noRetry": true}
		maps.Copy(extra, c.extra)
		begin := time.Now()
		err := d.try("open", c.name, s.open(g, c.id, c.who.ConnectionString, extra))
		switch {
		case err == nil:
			t.Errorf("%s: the SDK connected, want %s", c.name, c.want)
		case !slices.Contains(err.Chain, c.want):
			t.Errorf("%s: the SDK raised %v, want %s", c.name, err, c.want)
		case time.Since(begin) > 10*time.Second:
			t.Errorf("%s: refused after %v, want at once", c.name, time.Since(begin))
		}
	}
	// The refusals have done the device no harm.
	d.do("open", "good", s.open(g, id, who.ConnectionString, nil))
	d.do("close", "good", nil)
}

// disabledThenEnabled checks that an SDK gets in as soon as its device is enabled: a
// disabled device is refused by "try later", not by "unauthorized", so that an SDK
// that retries its first connection goes on trying.
func disabledThenEnabled(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	who := g.create(id)
	g.cli("device", "disable", id)
	d := s.start(t)
	how := s.open(g, id, who.ConnectionString, args{"retryOpen": true})
	opened := d.begin("open", "a", how)
	g.Log.Await(t, "the refusal of "+id, func(l hubtest.Line) bool { return l.Text("client_id") == id })
	if !s.retriesFirst {
		if l := d.finish("open of a disabled device", opened); l.Error == nil {
			t.Fatal("open of a disabled device succeeded")
		}
	}
	g.cli("device", "enable", id)
	if !s.retriesFirst {
		opened = d.begin("open", "a", how)
	}
	if l := d.finish("open after enable", opened); l.Error != nil {
		t.Fatalf("open after enable: %v", l.Error)
	}
	d.do("close", "a", nil)
}
