package backend

import (
	"testing"

	"github.com/hubgate/hubgate/c2d"
)

// TestC2DWithoutAnnouncement: NATS servers that have lost each other announce
// nothing, and our connection does not show it. Messages are found all the same.
func TestC2DWithoutAnnouncement(t *testing.T) {
	t.Parallel()
	b, r := withDevice(t)
	s := must(b.js.Stream(testContext(t), b.names.C2DStream()))
	deaf := s.CachedInfo().Config
	deaf.RePublish = nil
	if _, err := b.js.UpdateStream(testContext(t), deaf); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 8)
	box := b.C2D().Open(c2d.Owner{Device: "dev-1", Generation: r.GenerationID, Epoch: 7}, func(d c2d.Delivery) (uint16, error) {
		got <- string(d.Payload)
		return uint16(len(got)), nil
	})
	defer box.Close()
	box.Start()
	first := publish(t, b, "dev-1", "a")
	w := &c2dKeeper{backbone: b, store: b.C2D().Store.(*C2DStore), queues: b.C2D()}
	at := announced{last: first - 1}
	for _, want := range []string{"a", "b"} {
		if want == "b" {
			publish(t, b, "dev-1", want)
		}
		if err := w.lookUp(testContext(t), &at, 0); err != nil {
			t.Fatal(err)
		}
		select {
		case body := <-got:
			if body != want {
				t.Fatalf("got %q, want %q", body, want)
			}
		case <-testContext(t).Done():
			t.Fatalf("nobody has told of %q, and it was not found", want)
		}
	}
	if want := (announced{last: first + 1}); at != want {
		t.Errorf("got %+v, want %+v", at, want)
	}
}

// TestC2DGap: an announcement shows that those before it were lost. They are
// looked up at once, and once more, for a replica may be behind.
func TestC2DGap(t *testing.T) {
	t.Parallel()
	b, _ := withDevice(t)
	w := &c2dKeeper{backbone: b, store: b.C2D().Store.(*C2DStore), queues: b.C2D()}
	at := announced{last: 4}
	for _, n := range []uint64{5, 5, 3} {
		if at.heard(n) {
			t.Errorf("a gap before %d, which comes after %+v", n, at)
		}
	}
	if !at.heard(8) {
		t.Error("no gap before 8")
	}
	for range 2 {
		if err := w.lookUp(testContext(t), &at, 8); err != nil {
			t.Fatal(err)
		}
		if want := (announced{last: 8, redo: 5}); at != want {
			t.Errorf("got %+v, want %+v", at, want)
		}
		at.last = 5
	}
	at.last = 8
	if err := w.lookUp(testContext(t), &at, 0); err != nil {
		t.Fatal(err)
	}
	if want := (announced{last: 8}); at != want {
		t.Errorf("got %+v, want %+v", at, want)
	}
}
