//go:build linux

package main

import (
	"os"
	"strconv"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(natsChild); text != "" {
		os.Exit(serveNATS(text))
	}
	os.Exit(hubtest.Main(m))
}

// TestChaosShort is one fault of each kind. HUBGATE_CHAOS_SEED chooses another
// schedule.
func TestChaosShort(t *testing.T) {
	seed := uint64(1)
	if text := os.Getenv("HUBGATE_CHAOS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("HUBGATE_CHAOS_SEED: %v", err)
		}
	}
	err := chaos(t.Context(), settings{seed: seed, devices: 200, steps: shortSchedule(seed), out: os.Stdout})
	if err != nil {
		t.Fatal(err)
	}
}
