package twin

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
// Every operation of a back end is told of, with how it ended.
func TestObserved(t *testing.T) {
	t.Parallel()
	m := newMemory(dev)
	s := service(m)
	var ops []Operation
	var errs []hub.Code
	s.Observed = func(op Operation, began time.Time, err error) {
		if since := time.Since(began); since < 0 || since > time.Minute {
			t.Errorf("operation %d began at %v", op, began)
		}
		ops, errs = append(ops, op), append(errs, hub.CodeOf(err))
	}
	body := func(text string) Write { return Write{Body: []byte(text)} }
	_, _ = s.Get(t.Context(), dev)
	_, _ = s.Get(t.Context(), hub.Identity{Device: "nobody"})
	_, _ = s.Update(t.Context(), dev, body(`{"tags":{}}`))
	_, _ = s.Update(t.Context(), dev, body(`{}`))
	_, _ = s.Replace(t.Context(), dev, body(`{"tags":{}}`))
	_, _ = s.UpdateFrom(t.Context(), dev, Write{}, func(Twin) ([]byte, error) { return []byte(`{"tags":{}}`), nil })
	if want := []Operation{Read, Read, Updated, Updated, Replaced, Updated}; !slices.Equal(ops, want) {
		t.Errorf("operations %v, want %v", ops, want)
	}
	if want := []hub.Code{0, hub.DeviceNotFound, 0, hub.ArgumentInvalid, 0, 0}; !slices.Equal(errs, want) {
		t.Errorf("they ended with %v, want %v", errs, want)
	}
}

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

// UpdateFrom makes its patch of the twin that it is stored on: when another
// writer was faster, it is made again.
func TestUpdateFrom(t *testing.T) {
	t.Parallel()
	store := newMemory(dev)
	s := &Twins{Store: store}
	made := 0
	add := func(tw Twin) ([]byte, error) {
		if made++; made == 1 {
			if _, err := (&Twins{Store: store}).Update(t.Context(), dev, Write{Body: []byte(desired(`{"other":1}`))}); err != nil {
				t.Error(err)
			}
		}
		return fmt.Appendf(nil, `{"properties":{"desired":{"seen":%q}}}`, tw.DesiredProperties()), nil
	}
	got, err := s.UpdateFrom(t.Context(), dev, Write{By: "me"}, add)
	if want := `{"other":1,"seen":"{\"other\":1}"}`; err != nil || made != 2 || string(got.DesiredProperties()) != want {
		t.Errorf("got %s, %v after %d tries, want %s", got.DesiredProperties(), err, made, want)
	}
	for name, tt := range map[string]struct {
		ifMatch string
		f       func(Twin) ([]byte, error)
		code    hub.Code
	}{
		"etag":  {"AAAAAAAAAAk=", add, hub.PreconditionFailed},
		"patch": {"*", func(Twin) ([]byte, error) { return []byte(`{"tags":1}`), nil }, hub.ArgumentInvalid},
		"f":     {got.ETag, func(Twin) ([]byte, error) { return nil, hub.Errorf(hub.NotSupported, "no") }, hub.NotSupported},
	} {
		if _, err := s.UpdateFrom(t.Context(), dev, Write{IfMatch: tt.ifMatch}, tt.f); hub.CodeOf(err) != tt.code {
			t.Errorf("%s: got %v, want %d", name, err, tt.code)
		}
	}
}

// TestBegin gives a new identity its first twin: nobody has a version of it yet.
func TestBegin(t *testing.T) {
	t.Parallel()
	m := newMemory(dev)
	s := service(m)
	body := []byte(`{"tags":{"site":"x"},"properties":{"desired":{"a":{"b":1}}}}`)
	got, err := s.Begin(t.Context(), dev, Write{Body: body, By: "alice"})
	want := `"version":2,"tags":{"site":"x"},"properties":{"desired":{"a":{"b":1},"$metadata":{"$lastUpdated":"0001-01-01T00:00:00Z","$lastUpdatedVersion":1,` +
		`"a":{"$lastUpdated":"0001-01-01T00:00:00Z","$lastUpdatedVersion":1,"b":{"$lastUpdated":"0001-01-01T00:00:00Z","$lastUpdatedVersion":1}}},"$version":1}`
	if text := string(got.AppendJSON(nil)); err != nil || !strings.Contains(text, want) || got.ETag != "AAAAAAAAAAE=" {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
	if c := m.changes[0]; c.By != "alice" || string(c.Desired.Body) != `{"a":{"b":1},"$version":1}` {
		t.Errorf("told is %+v", c)
	}
	if _, err := s.PatchReported(t.Context(), dev, []byte(`{"r":1}`), 1); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Begin(t.Context(), dev, Write{Body: body}); err != nil || got.DesiredVersion() != 2 || got.ReportedVersion() != 2 {
		t.Errorf("a twin that was written: %s, %v", got.AppendJSON(nil), err)
	}
	if _, err := s.Begin(t.Context(), dev, Write{Body: []byte(`{}`)}); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("nothing: %v", err)
	}
}
