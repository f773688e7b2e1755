package config_test

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

func TestDataDir(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/data")
	t.Setenv("HOME", "/home/me")
	if got, err := config.DefaultDataDir(); err != nil || got != "/data/hubgate" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("XDG_DATA_HOME", "relative")
	if got, err := config.DefaultDataDir(); err != nil || got != "/home/me/.local/share/hubgate" {
		t.Errorf("got %q, %v", got, err)
	}
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("HOME", "")
	if got, err := config.DefaultDataDir(); err == nil {
		t.Errorf("got %q, want an error", got)
	}
	c := config.Default()
	if err := c.Complete(config.Dev); err == nil || !strings.Contains(err.Error(), "data_dir (--data-dir): this user has no home directory") {
		t.Errorf("got %v", err)
	}
}
