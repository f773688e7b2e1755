package main

import "testing"

func TestFitFiles(t *testing.T) {
	for name, c := range map[string]struct {
		halfOpen, connections, most int
		wantHalfOpen, want          int
	}{
		"unknown":                   {4096, 0, 0, 4096, 0},
		"plenty":                    {4096, 0, 1 << 20, 4096, 1<<20 - 4096 - spareFiles},
		"plenty, and a limit":       {4096, 1000, 1 << 20, 4096, 1000},
		"4096":                      {4096, 0, 4096, 1024, 4096 - 1024 - spareFiles},
		"a limit that is too large": {100, 10_000, 4096, 100, 4096 - 100 - spareFiles},
		"very few":                  {4096, 0, 256, 64, 64},
	} {
		t.Run(name, func(t *testing.T) {
			halfOpen, connections := fitFiles(c.halfOpen, c.connections, c.most)
			if halfOpen != c.wantHalfOpen || connections != c.want {
				t.Errorf("fitFiles = %d, %d, want %d, %d", halfOpen, connections, c.wantHalfOpen, c.want)
			}
		})
	}
}
