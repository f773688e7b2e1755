package twin

import (
	"fmt"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// owned opens the copy of a connection with this epoch.
func owned(s *Twins, epoch uint64) *Copy {
	return s.Open(dev, Owner{Generation: "1", Epoch: epoch}, func(Notification) bool { return true })
}

// A node that stood still finds a patch in a socket, after the device has
// connected elsewhere and was told that a later one is stored.
func TestOlderConnectionDoesNotWriteOverNewer(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"it has a copy": true, "it has read nothing yet": false} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(dev)
			m.claims = 7
			s := service(m)
			older, newer := owned(s, 5), owned(s, 7)
			if known {
				if _, err := older.PatchReported(t.Context(), []byte(`{"at":0}`), 0); err != nil {
					t.Fatal(err)
				}
			}
			version, err := newer.PatchReported(t.Context(), []byte(`{"at":2}`), 0)
			if err != nil {
				t.Fatal(err)
			}
			update(t, s, `{"tags":{"t":1}}`) // a back end's write does not hide who wrote before
			_, err = older.PatchReported(t.Context(), []byte(`{"at":1}`), 0)
			wantCode(t, err, hub.ConnectionReplaced)
			got := m.twins[dev]
			if want := fmt.Sprintf(`{"at":2,"$version":%d}`, version); string(appendVersioned(nil, got.reported.root, got.reported.version)) != want {
				t.Errorf("reported is %s, want %s", got.Device(), want)
			}
			if got.Epoch != 7 {
				t.Errorf("the twin has epoch %d, want 7", got.Epoch)
			}
		})
	}
}

// Whoever has lost the sessions, and not the twins, has a hub in which epochs
// begin anew: devices can write all the same.
func TestEpochsOfLostSessionsMeanNothing(t *testing.T) {
	t.Parallel()
	m := newMemory(dev)
	m.claims = 1000
	s := service(m)
	if _, err := owned(s, 1000).PatchReported(t.Context(), []byte(`{"a":1}`), 0); err != nil {
		t.Fatal(err)
	}
	m.claims = 3
	if _, err := owned(s, 2).PatchReported(t.Context(), []byte(`{"a":2}`), 0); err != nil {
		t.Errorf("a patch after the sessions were lost: %v", err)
	}
	if _, err := owned(s, 3).PatchReported(t.Context(), []byte(`{"a":3}`), 0); err != nil {
		t.Errorf("a patch of the next connection: %v", err)
	}
	_, err := owned(s, 2).PatchReported(t.Context(), []byte(`{"a":4}`), 0)
	wantCode(t, err, hub.ConnectionReplaced)
}

// The connection of a device that was deleted writes nothing into the twin of
// the device that has its name now, even if it never read its own.
func TestConnectionOfAnotherGeneration(t *testing.T) {
	t.Parallel()
	m := newMemory(dev)
	m.twins[dev] = New(dev, "2", later)
	_, err := owned(service(m), 5).PatchReported(t.Context(), []byte(`{"a":1}`), 0)
	wantCode(t, err, hub.DeviceNotFound)
	if m.puts != 0 {
		t.Errorf("%d writes", m.puts)
	}
}

// Before a device reads its twin on a connection that competes with an earlier one,
// it is made sure that the earlier one writes no more; that costs one write.
func TestReadingKeepsOlderConnectionsOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		contested bool
		before    func(s *Twins) // the write that fences
		puts      int
		older     hub.Code // what a patch of the older connection ends with
	}{
		"nobody competes":       {false, nil, 0, 0},
		"an older one may live": {true, nil, 1, hub.ConnectionReplaced},
		"a back end is faster":  {true, func(s *Twins) { update(t, s, `{"tags":{"t":1}}`) }, 3, hub.ConnectionReplaced},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory(dev)
			m.claims = 7
			s := service(m)
			older := owned(s, 5)
			newer := s.Open(dev, Owner{Generation: "1", Epoch: 7, Contested: tt.contested}, func(Notification) bool { return true })
			if tt.before != nil {
				m.before = func(hub.Identity) { tt.before(s) }
			}
			for range 2 { // the second time costs nothing
				answers := 0
				if err := newer.Device(t.Context(), func([]byte) { answers++ }); err != nil || answers != 1 {
					t.Fatalf("%d answers, %v", answers, err)
				}
				if m.puts != tt.puts {
					t.Errorf("%d writes, want %d", m.puts, tt.puts)
				}
			}
			_, err := older.PatchReported(t.Context(), []byte(`{"at":1}`), 0)
			if hub.CodeOf(err) != tt.older {
				t.Errorf("a patch of the older connection: %v, want the code %d", err, tt.older)
			}
		})
	}
}

// A connection that was replaced, and does not know yet, is not told what the newer
// one has written.
func TestOlderConnectionReadsNothingOfTheNewer(t *testing.T) {
	t.Parallel()
	m := newMemory(dev)
	m.claims = 7
	s := service(m)
	if _, err := owned(s, 7).PatchReported(t.Context(), []byte(`{"a":1}`), 0); err != nil {
		t.Fatal(err)
	}
	err := owned(s, 5).Device(t.Context(), func([]byte) { t.Error("an answer") })
	wantCode(t, err, hub.ConnectionReplaced)
}

// A device is not told what it read before it is sure that nobody else writes it.
func TestReadingThatCannotKeepOthersOut(t *testing.T) {
	t.Parallel()
	m := newMemory(dev)
	c := service(m).Open(dev, Owner{Epoch: 7, Contested: true}, func(Notification) bool { return true })
	m.before = func(hub.Identity) { m.fail = hub.Errorf(hub.ServiceUnavailable, "away") }
	err := c.Device(t.Context(), func([]byte) { t.Error("an answer") })
	wantCode(t, err, hub.ServiceUnavailable)
}
