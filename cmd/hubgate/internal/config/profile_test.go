package config_test

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// TestProfile: a profile gives values to keys that nothing else sets.
func TestProfile(t *testing.T) {
	t.Parallel()
	strict := "profile: strict-azure\n"
	tests := map[string]struct {
		file         string
		env          []string
		flags        []config.Setting
		depth        int
		unsubscribed config.Unsubscribed
		replay       bool
		origin       string // of c2d.queue_depth
	}{
		"default":          {"", nil, nil, 0, config.UnsubscribedKeep, false, ""},
		"relaxed":          {"profile: relaxed\n", nil, nil, 0, config.UnsubscribedKeep, false, ""},
		"strict":           {strict, nil, nil, 50, config.UnsubscribedDiscard, false, "profile strict-azure"},
		"by environment":   {"", []string{"HUBGATE_PROFILE=strict-azure"}, nil, 50, config.UnsubscribedDiscard, false, "profile strict-azure"},
		"by flag":          {"profile: relaxed\n", nil, []config.Setting{flag("profile", "strict-azure")}, 50, config.UnsubscribedDiscard, false, "profile strict-azure"},
		"file over it":     {strict + "c2d: {queue_depth: 70, unsubscribed: keep}\ntwins: {replay_desired: true}\n", nil, nil, 70, config.UnsubscribedKeep, true, ":2"},
		"flag over it":     {strict, nil, []config.Setting{flag("c2d.queue_depth", "80")}, 80, config.UnsubscribedDiscard, false, "--c2d.queue_depth"},
		"key before it":    {"c2d: {queue_depth: 70}\n", nil, []config.Setting{flag("profile", "strict-azure")}, 70, config.UnsubscribedDiscard, false, ":1"},
		"default over it":  {strict + "c2d: {queue_depth: 0}\n", nil, nil, 0, config.UnsubscribedDiscard, false, ":2"},
		"variable over it": {strict, []string{"HUBGATE_C2D_UNSUBSCRIBED=keep"}, nil, 50, config.UnsubscribedKeep, false, "profile strict-azure"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := config.Source{Env: tt.env, Settings: tt.flags}
			if tt.file != "" {
				src.File = file(t, tt.file)
			}
			c, err := config.Load(src)
			if err != nil {
				t.Fatal(err)
			}
			if c.C2D.QueueDepth != tt.depth || c.C2D.Unsubscribed != tt.unsubscribed || c.Twins.ReplayDesired != tt.replay {
				t.Errorf("got %+v and %+v", c.C2D, c.Twins)
			}
			if got := c.Origin("c2d.queue_depth"); !strings.HasSuffix(got, tt.origin) || (got == "") != (tt.origin == "") {
				t.Errorf("c2d.queue_depth comes from %q, want %q", got, tt.origin)
			}
			if err := c.Complete(config.Dev); err != nil {
				t.Error(err)
			}
		})
	}
	_, err := config.Load(config.Source{File: file(t, "profile: strict\n")})
	if err == nil || !strings.Contains(err.Error(), `profile: "strict" is none of relaxed, strict-azure`) {
		t.Errorf("got %v", err)
	}
}

// TestFeatures: a number out of range is named with the range.
func TestFeatures(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ key, value, want string }{
		"no deliveries":    {"c2d.max_delivery_count", "0", "0 is not from 1 to 100"},
		"many deliveries":  {"c2d.max_delivery_count", "101", "101 is not from 1 to 100"},
		"deep":             {"c2d.queue_depth", "10001", "10001 is not from 1 to 10000"},
		"deepest":          {"c2d.queue_depth", "10000", ""},
		"short lock":       {"c2d.lock_duration", "4s", "4s is not from 5s to 5m"},
		"long lock":        {"c2d.lock_duration", "301s", "5m1s is not from 5s to 5m"},
		"short life":       {"c2d.max_ttl", "59s", "59s is not from 1m to 30d"},
		"long life":        {"c2d.max_ttl", "31d", "31d is not from 1m to 30d"},
		"longest life":     {"c2d.max_ttl", "30d", ""},
		"default too long": {"c2d.default_ttl", "49h", "49h is not from 1m to c2d.max_ttl, which is 2d"},
		"no default":       {"c2d.default_ttl", "0", "0 is not from 1m to c2d.max_ttl"},
		"small":            {"c2d.max_size", "1023", "1023 is not from 1KiB to 256KiB"},
		"large":            {"c2d.max_size", "257KiB", "257KiB is not from 1KiB to 256KiB"},
		"largest":          {"c2d.max_size", "256KiB", ""},
		"no calls":         {"methods.max_in_flight", "0", "0 is not from 1 to 10000"},
		"no pending":       {"methods.max_pending", "0", "0 is not from 1 to 10000"},
		"many pending":     {"methods.max_pending_all", "1000001", "1000001 is not from 1 to 1000000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Load(config.Source{Settings: []config.Setting{flag(tt.key, tt.value)}})
			if err == nil {
				err = c.Complete(config.Dev)
			}
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), "--"+tt.key+": "+tt.key+": "+tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
