package twin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

func TestService(t *testing.T) {
	t.Parallel()
	m := newMemory(dev)
	s := service(m)
	got := update(t, s, `{"tags":{"t":1},"properties":{"desired":{"a":1}}}`)
	if got.Revision != 1 || got.Version != 3 {
		t.Errorf("got %+v", got)
	}
	if _, err := s.Update(t.Context(), dev, Write{Body: []byte(`{"tags":{}}`), IfMatch: "AAAAAAAAAAE="}); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("got %v for an old etag", err)
	}
	got, err := s.Replace(t.Context(), dev, Write{Body: []byte(desired(`{"b":2}`)), IfMatch: got.ETag, By: "alice"})
	if err != nil || got.DesiredVersion() != 3 {
		t.Errorf("got %s, %v", got.AppendJSON(nil), err)
	}
	if by := m.changes[1].By; by != "alice" {
		t.Errorf("the change is by %q", by)
	}
	if got, err = s.PatchReported(t.Context(), dev, []byte(`{"r":1}`), 1); err != nil || got.ReportedVersion() != 2 {
		t.Errorf("got %s, %v", got.AppendJSON(nil), err)
	}
	device, err := s.GetDevice(t.Context(), dev)
	if want := `{"desired":{"b":2,"$version":3},"reported":{"r":1,"$version":2}}`; err != nil || string(device) != want {
		t.Errorf("the device gets %s, %v, want %s", device, err, want)
	}
	if got, err = s.Get(t.Context(), dev); err != nil || got.ReportedVersion() != 2 {
		t.Errorf("got %s, %v", got.AppendJSON(nil), err)
	}
}

func TestServiceRefusals(t *testing.T) {
	t.Parallel()
	s := service(newMemory(dev))
	nobody, w := hub.Identity{Device: "nobody"}, Write{Body: []byte(`{"tags":{}}`)}
	_, update := s.Update(t.Context(), nobody, w)
	_, replace := s.Replace(t.Context(), nobody, w)
	_, report := s.PatchReported(t.Context(), nobody, []byte(`{}`), 0)
	_, get := s.GetDevice(t.Context(), nobody)
	for name, err := range map[string]error{"update": update, "replace": replace, "report": report, "get": get} {
		if hub.CodeOf(err) != hub.DeviceNotFound {
			t.Errorf("%s: got %v, want DeviceNotFound", name, err)
		}
	}
	_, update = s.Update(t.Context(), dev, Write{})
	_, replace = s.Replace(t.Context(), dev, Write{})
	_, report = s.PatchReported(t.Context(), dev, nil, 0)
	for name, err := range map[string]error{"update": update, "replace": replace, "report": report} {
		if hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: got %v, want ArgumentInvalid", name, err)
		}
	}
}

// TestManyWriters loses no update, whoever meets whom: every other writer is on
// a node of its own.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	m := newMemory(dev)
	s := service(m)
	var wg sync.WaitGroup
	for i := range 50 {
		at := s
		if i%2 == 0 {
			at = service(m)
		}
		wg.Go(func() {
			if _, err := at.Update(t.Context(), dev, Write{Body: fmt.Appendf(nil, `{"properties":{"desired":{"k%d":%d}}}`, i, i)}); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	got, err := s.Get(t.Context(), dev)
	if err != nil || got.Version != 52 || got.DesiredVersion() != 51 || len(got.desired.root.members) != 50 {
		t.Errorf("got %s, %v", got.AppendJSON(nil), err)
	}
}

// TestRetryIsBounded by tries and by the context.
func TestRetryIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(dev)
		s := service(m)
		var other func(hub.Identity)
		other = func(id hub.Identity) {
			m.mu.Lock()
			defer m.mu.Unlock()
			t := m.twins[id]
			m.revision++
			t.Revision = m.revision
			m.twins[id] = t
			m.before = other
		}
		m.before = other
		begun := time.Now()
		_, err := s.Update(t.Context(), dev, Write{Body: []byte(`{"tags":{}}`)})
		wantCode(t, err, hub.Throttled)
		if took := time.Since(begun); m.puts != tries || took > tries*maxPause {
			t.Errorf("got %d tries in %v", m.puts, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = s.Update(ctx, dev, Write{Body: []byte(`{"tags":{}}`)})
		wantCode(t, err, hub.GatewayTimeout)
	})
}

func TestStoreFaultsPass(t *testing.T) {
	t.Parallel()
	m := newMemory(dev)
	m.before = func(hub.Identity) { m.fail = hub.Errorf(hub.ServiceUnavailable, "away") }
	_, err := (&Twins{Store: m}).Update(t.Context(), dev, Write{Body: []byte(`{"tags":{}}`)})
	wantCode(t, err, hub.ServiceUnavailable)
	if errors.Is(err, errRace) || m.puts != 1 {
		t.Errorf("got %d writes", m.puts)
	}
}
