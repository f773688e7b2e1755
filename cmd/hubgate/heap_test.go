package main

import "testing"

func TestHeapPace(t *testing.T) {
	t.Parallel()
	const mega = 1 << 20
	p := newHeapPace(8<<30, nil)
	var now heapState
	look := func(grown, live uint64) (int, bool) {
		now.allocated += grown
		now.live = live
		percent, release := p.look(now)
		p.percent = percent
		return percent, release
	}
	if percent, release := look(mega/2, 20*mega); percent != 100 || release {
		t.Errorf("little to do: %d %%, release %t", percent, release)
	}
	// A collection is to come after 32 looks.
	for range 3 {
		if percent, release := look(5*mega, 20*mega); percent != 800 || release {
			t.Errorf("much to do: %d %%, release %t, want 800", percent, release)
		}
	}
	if percent, _ := look(5*mega, 22*mega); percent != 800 {
		t.Errorf("with 22 MiB live: %d %%, want the 800 that it had", percent)
	}
	if percent, _ := look(3*mega, 20*mega); percent != 800 {
		t.Errorf("after a pause of one look: %d %%, want 800", percent)
	}
	if percent, _ := look(3*mega, 20*mega); percent != 480 {
		t.Errorf("after two: %d %%, want 480", percent)
	}
	if percent, _ := look(40*mega, 24*mega); percent != 4166 {
		t.Errorf("with more to do than the heap may hold: %d %%, want the 4166 of 1 GiB", percent)
	}
	now.connections = 1000
	if percent, _ := look(40*mega, 25*mega); percent != 100 {
		t.Errorf("while connections come: %d %%, want 100", percent)
	}
	now.connections += 10
	if percent, _ := look(40*mega, 24*mega); percent != 4166 {
		t.Errorf("while few connections come: %d %%, want 4166", percent)
	}
	now.connections = 900
	if percent, _ := look(40*mega, 24*mega); percent != 4166 {
		t.Errorf("while connections end: %d %%, want 4166", percent)
	}
	for range heapQuiet - 1 {
		if percent, release := look(1<<10, 20*mega); percent != 4166 || release {
			t.Errorf("a short pause: %d %%, release %t", percent, release)
		}
	}
	if percent, release := look(1<<10, 20*mega); percent != 100 || !release {
		t.Errorf("quiet: %d %%, release %t, want 100 and a release", percent, release)
	}
	for range heapQuiet + 1 {
		if percent, release := look(1<<10, 20*mega); percent != 100 || release {
			t.Errorf("still quiet: %d %%, release %t", percent, release)
		}
	}
	if percent, _ := look(40*mega, 600*mega); percent != 100 {
		t.Errorf("with 600 MiB live: %d %%, want 100", percent)
	}
	for range heapQuiet - 1 {
		if _, release := look(0, 600*mega); release {
			t.Error("released before it is quiet")
		}
	}
	if _, release := look(0, 600*mega); !release {
		t.Error("nothing is released with 600 MiB live")
	}
	if percent, _ := newHeapPace(256*mega, nil).look(heapState{40 * mega, 20 * mega, 0}); percent != 100 {
		t.Errorf("with 256 MiB of memory: %d %%, want 100", percent)
	}
	look(40*mega, 3<<30)
	for range heapQuiet {
		if percent, release := look(0, 3<<30); percent != 100 || release {
			t.Errorf("with 3 GiB live: %d %%, release %t, want 100 and none", percent, release)
		}
	}
}
