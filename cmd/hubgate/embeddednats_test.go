package main

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// TestRecoveryMayTakeAsLong: who has much on disk can give the embedded server the time
// to read it, and reads how.
func TestRecoveryMayTakeAsLong(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.DataDir, cfg.NATS.Embedded, cfg.NATS.Port = t.TempDir(), true, 0
	cfg.NATS.Wait = config.Duration(time.Nanosecond)
	n := &node{cfg: cfg, log: zerolog.Nop(), failed: make(chan error, 1)}
	defer n.stop()
	if err := n.startNATS(t.Context()); err == nil || !strings.Contains(err.Error(), "not ready within 1ns") || !strings.Contains(err.Error(), "nats.wait") {
		t.Errorf("a start that has no time: %v", err)
	}
}
