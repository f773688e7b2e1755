package main

import "testing"

func TestHeapPace(t *testing.T) {
	t.Parallel()
	p := newHeapPace(8<<30, nil)
	var now heapState
	look := func(grown, live uint64) (int, bool) {
		now.allocated += grown
		now.live = live
		percent, release := p.look(now)
		p.percent = percent
		return percent, release
	}
	if percent, release := look(1<<19, 20<<20); percent != 100 || release {
		t.Errorf("little to do: %d %%, release %t", percent, release)
	}
	for range 3 {
		if percent, release := look(30<<20, 20<<20); percent != 700 || release {
			t.Errorf("much to do: %d %%, release %t, want 700", percent, release)
		}
	}
	if percent, _ := look(30<<20, 22<<20); percent != 600 {
		t.Errorf("with 22 MiB live: %d %%, want 600", percent)
	}
	now.connections = 1000
	if percent, _ := look(30<<20, 25<<20); percent != 100 {
		t.Errorf("while connections come: %d %%, want 100", percent)
	}
	now.connections += 10
	if percent, _ := look(30<<20, 22<<20); percent != 600 {
		t.Errorf("while few connections come: %d %%, want 600", percent)
	}
	now.connections = 900
	if percent, _ := look(30<<20, 22<<20); percent != 600 {
		t.Errorf("while connections end: %d %%, want 600", percent)
	}
	for range heapQuiet - 1 {
		if percent, release := look(1<<10, 20<<20); percent != 600 || release {
			t.Errorf("a short pause: %d %%, release %t", percent, release)
		}
	}
	if percent, release := look(1<<10, 20<<20); percent != 100 || !release {
		t.Errorf("quiet: %d %%, release %t, want 100 and a release", percent, release)
	}
	for range heapQuiet + 1 {
		if percent, release := look(1<<10, 20<<20); percent != 100 || release {
			t.Errorf("still quiet: %d %%, release %t", percent, release)
		}
	}
	if percent, _ := look(30<<20, 100<<20); percent != 100 {
		t.Errorf("with 100 MiB live: %d %%, want 100", percent)
	}
	for range heapQuiet - 1 {
		if _, release := look(0, 100<<20); release {
			t.Error("released before it is quiet")
		}
	}
	if _, release := look(0, 100<<20); !release {
		t.Error("nothing is released with 100 MiB live")
	}
	if percent, _ := newHeapPace(256<<20, nil).look(heapState{30 << 20, 20 << 20, 0}); percent != 100 {
		t.Errorf("with 256 MiB of memory: %d %%, want 100", percent)
	}
	look(30<<20, 3<<30)
	for range heapQuiet {
		if percent, release := look(0, 3<<30); percent != 100 || release {
			t.Errorf("with 3 GiB live: %d %%, release %t, want 100 and none", percent, release)
		}
	}
}
