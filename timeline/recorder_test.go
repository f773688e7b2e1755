package timeline

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// kept is a Store that remembers.
type kept struct {
	mu      sync.Mutex
	entries []Entry
}

func (k *kept) Append(e Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries = append(k.entries, e)
}

func (k *kept) all() []Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]Entry(nil), k.entries...)
}

func refusalOf(device string) Entry {
	return Entry{ID: hub.Identity{Device: device}, What: TwinRefused, Code: hub.ArgumentInvalid, Message: "no"}
}

// The first entry is stored at once, repetitions as one with a count, less and
// less often while they go on.
func TestRepetitionsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store kept
		r := NewRecorder(&store, "n1")
		begin := time.Now()
		for i := range 6000 { // ten a second for ten minutes
			e := refusalOf("d")
			e.Remote = fmt.Sprintf("192.0.2.1:%d", i)
			if first := r.Record(e); first != (i == 0) {
				t.Fatalf("entry %d is the first: %v", i, first)
			}
			if i == 0 && len(store.all()) != 1 {
				t.Fatal("the first entry was not stored at once")
			}
			<-time.After(100 * time.Millisecond)
		}
		r.Close()
		total := 0
		got := store.all()
		for i, e := range got {
			total += e.Count
			if e.Node != "n1" {
				t.Errorf("entry of node %q", e.Node)
			}
			if i > 0 && !e.Time.After(got[i-1].Last()) {
				t.Errorf("entry %d begins at %v, before the end of the one before", i, e.Time.Sub(begin))
			}
		}
		if total != 6000 {
			t.Errorf("%d entries counted, want all 6000", total)
		}
		if len(got) < 10 || len(got) > 14 {
			t.Errorf("%d entries stored in ten minutes, want one for each of the windows of 1, 2, 4 … s", len(got))
		}
		if last := got[len(got)-1]; last.Remote != "192.0.2.1:5999" {
			t.Errorf("the last entry is from %q, want the newest", last.Remote)
		}
	})
}

// Another sentence is told at once, but nobody can fill the timeline with
// sentences.
func TestSentences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store kept
		r := NewRecorder(&store, "n")
		defer r.Close()
		for _, message := range []string{"a", "a", "a", "b"} {
			e := refusalOf("d")
			e.Message = message
			r.Record(e)
		}
		got := store.all()
		if len(got) != 3 || got[0].Count != 1 || got[1].Count != 2 || got[1].Message != "a" || got[2].Message != "b" {
			t.Fatalf("stored %+v, want a, a twice more, and b", got)
		}
		for range 2 { // which says nothing new
			e := refusalOf("d")
			e.Message = "b"
			r.Record(e)
		}
		if got := len(store.all()); got != 3 {
			t.Fatalf("%d entries, want 3: repetitions are counted", got)
		}
		for i := range 100 {
			e := refusalOf("d")
			e.Message = fmt.Sprint(i)
			r.Record(e)
		}
		if got := len(store.all()); got != 3+maxSentences {
			t.Errorf("%d entries were stored at once, want %d", got, 3+maxSentences)
		}
	})
}

// One repetition is told too, before what comes behind it.
func TestOneRepetitionBeforeAnotherSentence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store kept
		r := NewRecorder(&store, "n")
		defer r.Close()
		for _, message := range []string{"a", "a", "b"} {
			e := refusalOf("d")
			e.Message = message
			r.Record(e)
		}
		var got []string
		for _, e := range store.all() {
			got = append(got, fmt.Sprint(e.Message, e.Count))
		}
		if want := []string{"a1", "a1", "b1"}; !slices.Equal(got, want) {
			t.Errorf("stored %q, want %q", got, want)
		}
	})
}

// A device is the same from wherever it comes, and an entry that has a time keeps it.
func TestADeviceFromElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store kept
		r := NewRecorder(&store, "n")
		defer r.Close()
		e := refusalOf("d")
		e.Remote, e.Time = "192.0.2.1:5", time.Now().Add(-time.Millisecond)
		began := e.Time
		r.Record(e)
		e.Remote = "198.51.100.1:5"
		if r.Record(e) {
			t.Error("the same thing from another address was taken for the first of its kind")
		}
		if got := store.all(); len(got) != 1 || !got[0].Time.Equal(began) {
			t.Errorf("stored %+v, want one of %v", got, began)
		}
	})
}

// Something that happens again after a quiet while is new.
func TestQuietEndsAStreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store kept
		r := NewRecorder(&store, "n")
		defer r.Close()
		for range 3 {
			if !r.Record(refusalOf("d")) {
				t.Error("after a quiet while an entry is not the first of its kind")
			}
			<-time.After(3 * firstWindow)
			synctest.Wait()
		}
		if got := store.all(); len(got) != 3 {
			t.Errorf("%d entries, want 3", len(got))
		}
	})
}

// What differs in device, kind or code does not share a streak.
func TestStreaksAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store kept
		r := NewRecorder(&store, "n")
		defer r.Close()
		a := refusalOf("a")
		b := a
		b.What = Closed
		c := a
		c.Code = hub.Unauthorized
		d := a
		d.ID.Module = "m"
		for _, e := range []Entry{a, refusalOf("b"), b, c, d} {
			if !r.Record(e) {
				t.Errorf("%+v was taken for a repetition", e)
			}
		}
		byCode, dropped := r.Counts()
		if byCode[hub.ArgumentInvalid] != 4 || byCode[hub.Unauthorized] != 1 || dropped != 0 {
			t.Errorf("counts %v, dropped %d", byCode, dropped)
		}
	})
}

// The refusal of a client that is known is told of its address as well.
func TestRefusalIsAlsoOfTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store kept
		r := NewRecorder(&store, "n")
		defer r.Close()
		r.Record(Entry{ID: hub.Identity{Device: "d", Module: "m"}, What: Refused, Code: hub.Unauthorized, Remote: "192.0.2.1:5"})
		got := store.all()
		if len(got) != 2 || got[0].ID.Device != "d" || got[1].ID.Device != "" || got[1].Claimed != "d/m" {
			t.Errorf("stored %+v, want one entry of the device and one of the address", got)
		}
	})
}

// Strangers, whoever they say they are, leave room for devices, and memory is
// bounded.
func TestAFloodIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store kept
		r := NewRecorder(&store, "n")
		defer r.Close()
		for i := range 3 * maxStrangers {
			r.Record(Entry{What: Refused, Code: hub.DeviceNotFound, Claimed: fmt.Sprint(i), Remote: "192.0.2.1:5"})
		}
		if got := len(store.all()); got != maxStrangers {
			t.Errorf("%d entries of strangers were stored in one second, want %d", got, maxStrangers)
		}
		for i := range 2 * maxStreaks {
			r.Record(refusalOf(fmt.Sprint(i)))
		}
		r.mu.Lock()
		streaks := len(r.streaks)
		r.mu.Unlock()
		if streaks != maxStreaks {
			t.Errorf("%d streaks are remembered, want %d", streaks, maxStreaks)
		}
		byCode, dropped := r.Counts()
		if byCode[hub.DeviceNotFound] != 3*maxStrangers || dropped != uint64(3*maxStrangers+2*maxStreaks-streaks) {
			t.Errorf("counts %v, dropped %d", byCode, dropped)
		}
		<-time.After(3 * firstWindow)
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.streaks) != 0 || r.strangers != 0 {
			t.Errorf("%d streaks and %d strangers are left after a quiet while", len(r.streaks), r.strangers)
		}
	})
}

func TestNobodyRecords(t *testing.T) {
	var r *Recorder
	if !r.Record(refusalOf("d")) {
		t.Error("without a recorder every entry is the first")
	}
}
