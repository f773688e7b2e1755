package methods

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

// filled is an index that was told of the commands of dev1.
func filled(commands ...Command) *index {
	x := new(index)
	x.reset()
	for _, c := range commands {
		c.For = dev1
		x.put(c)
	}
	return x
}

// What the store tells late, or twice, does not undo what is known already.
func TestIndexKeepsTheNewest(t *testing.T) {
	t.Parallel()
	x := filled(
		Command{ID: "1", Revision: 5, State: Begun, Payload: []byte("1")}, Command{ID: "1", Revision: 4, State: Pending},
		Command{ID: "2", Revision: 6, State: Pending}, Command{ID: "2", Revision: 7, State: Begun})
	x.drop(Command{For: dev1, ID: "1", Revision: 4})
	x.drop(Command{For: dev1, ID: "3", Revision: 9})
	want := []Command{{For: dev1, ID: "1", Revision: 5, State: Begun}, {For: dev1, ID: "2", Revision: 7, State: Begun}}
	if diff := cmp.Diff(want, x.of(dev1)); diff != "" || x.count != 2 {
		t.Errorf("%d commands; %s", x.count, diff)
	}
}

// Of a device with several commands one goes, and with the last one the device.
func TestIndexForgets(t *testing.T) {
	t.Parallel()
	x := filled(Command{ID: "1", Revision: 1}, Command{ID: "2", Revision: 2}, Command{ID: "3", Revision: 3})
	for i, want := range []string{"1 3", "1", ""} {
		x.drop(Command{For: dev1, ID: []string{"2", "3", "1"}[i], Revision: 3})
		if got := idsOf(x.of(dev1)); got != want || x.count != 2-i {
			t.Errorf("%q are left, want %q; %d are counted", got, want, x.count)
		}
	}
	if len(x.all) != 0 {
		t.Errorf("%d devices without a command are remembered", len(x.all))
	}
}

// A place that is taken counts before its command is stored, and one that was
// refused does not.
func TestIndexAdmits(t *testing.T) {
	t.Parallel()
	x := filled(Command{ID: "1", Revision: 1})
	other := hub.Identity{Device: "other"}
	for _, tc := range []struct {
		c        Command
		own, all int
	}{
		{Command{For: dev1, ID: "3"}, 1, 1},
		{Command{For: dev1, ID: "2"}, 2, 2}, // refused: one too many of the device
		{Command{For: other, ID: "4"}, 0, 2},
		{Command{For: other, ID: "5"}, 1, 3}, // refused: one too many of all
	} {
		if own, all := x.admit(tc.c, Limits{Device: 2, All: 3}); own != tc.own || all != tc.all {
			t.Errorf("%s: %d of its device and %d of all, want %d and %d", tc.c.ID, own, all, tc.own, tc.all)
		}
	}
	if got := idsOf(x.of(dev1)) + ", " + idsOf(x.of(other)); got != "1 3, 4" {
		t.Errorf("places are taken by %q", got)
	}
}

// Who asks while everything is told anew waits for all of it.
func TestIndexIsToldAnew(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	x := filled(Command{ID: "1", Revision: 1})
	x.load()
	if !x.await(t.Context()) {
		t.Error("it is not loaded")
	}
	x.reset()
	if x.await(over) || x.count != 0 || len(x.of(dev1)) != 0 {
		t.Errorf("what was told before the interruption, %d commands, passes for all", x.count)
	}
	loaded := x.loaded
	x.reset() // interrupted once more
	x.load()
	x.load()
	select {
	case <-loaded:
	default:
		t.Error("who waits does not hear of it")
	}
	if !x.await(t.Context()) {
		t.Error("it is not loaded again")
	}
}

func idsOf(commands []Command) string {
	var all string
	for i, c := range commands {
		if i > 0 {
			all += " "
		}
		all += c.ID
	}
	return all
}

// What is told anew replaces what was known, also by a revision that is earlier: the
// bucket may have been put back. What is being stored meanwhile stays.
func TestIndexIsRetold(t *testing.T) {
	t.Parallel()
	id := hub.Identity{Device: "d"}
	command := func(name string, rev uint64) Command {
		return Command{For: id, ID: name, State: Pending, Revision: rev}
	}
	most := Limits{Device: 10, All: 10}
	var x index
	x.reset()
	for i, name := range []string{"gone", "kept", "removed"} {
		x.put(command(name, uint64(7+i)))
	}
	x.load()
	x.admit(command("coming", 0), most)
	x.retell()
	if got := x.of(id); len(got) != 4 {
		t.Errorf("before it is told there is %+v", got)
	}
	x.put(command("kept", 2))
	x.put(command("kept", 1)) // only the first time
	x.put(command("removed", 3))
	x.drop(command("removed", 4))
	x.put(command("own", 12)) // this node has stored it, and the watch is not so far
	x.load()
	var got []string
	for _, c := range x.of(id) {
		got = append(got, c.ID)
	}
	if want := []string{"coming", "kept", "own"}; !slices.Equal(got, want) {
		t.Errorf("there is %v, want %v", got, want)
	}
	if c := x.of(id)[1]; c.Revision != 2 {
		t.Errorf("the one that was told has revision %d, want 2", c.Revision)
	}
	if own, all := x.admit(command("last", 0), most); own != 3 || all != 3 {
		t.Errorf("%d and %d are counted, want 3 and 3", own, all)
	}
	x.put(command("own", 11)) // later it is as it was
	if c := x.of(id)[3]; c.Revision != 12 {
		t.Errorf("%s has gone back to revision %d", c.ID, c.Revision)
	}
}
