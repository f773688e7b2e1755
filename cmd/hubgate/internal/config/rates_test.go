package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

func TestRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"100/s": 100, "7": 7, "50/min": 50.0 / 60, "60/m": 1, "3600/h": 1, "160KiB/s": 160 << 10, "0": 0, "0/s": 0,
	} {
		var r config.Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r.PerSecond() != want {
			t.Errorf("%s is %v a second, %v; want %v", text, r.PerSecond(), err, want)
		}
		if want == 0 && r.String() != "0" {
			t.Errorf("%s is printed as %s", text, r)
		}
	}
	for _, text := range []string{"", "-1/s", "1.5/s", "x/s", "1/day", "1/s/s", "/s"} {
		var r config.Rate
		if err := r.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "is not a rate such as 100/s") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestTiers holds the profiles of IoT Hub's tiers to Microsoft's page of quotas
// and throttling.
func TestTiers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		profile string
		units   int
		want    string // connects, messages, twin reads, twin writes, bytes of calls, messages to devices
	}{
		"relaxed":       {"relaxed", 3, "0 0 0 0 0 0"},
		"strict":        {"strict-azure", 3, "0 0 0 0 0 0"},
		"S1":            {"strict-azure-s1", 1, "100/s 100/s 100/s 50/s 160KiB/s 100/min"},
		"S1, 20 units":  {"strict-azure-s1", 20, "240/s 240/s 100/s 50/s 3200KiB/s 2000/min"},
		"S2":            {"strict-azure-s2", 1, "120/s 120/s 100/s 50/s 480KiB/s 100/min"},
		"S2, 20 units":  {"strict-azure-s2", 20, "2400/s 2400/s 200/s 100/s 9600KiB/s 2000/min"},
		"S3":            {"strict-azure-s3", 1, "6000/s 6000/s 500/s 250/s 24MiB/s 5000/min"},
		"S3, two units": {"strict-azure-s3", 2, "12000/s 12000/s 1000/s 500/s 48MiB/s 10000/min"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Load(config.Source{Settings: []config.Setting{flag("profile", tc.profile), flag("rates.units", fmt.Sprint(tc.units))}})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Complete(config.Dev); err != nil {
				t.Fatal(err)
			}
			r := c.Rates
			got := strings.TrimSpace(fmt.Sprintln(r.NodeConnects, r.NodeMessages, r.NodeTwinReads, r.NodeTwinWrites, r.NodeMethodBytes, r.NodeC2D))
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if strict := c.C2D.Unsubscribed == config.UnsubscribedDiscard; strict != (tc.profile != "relaxed") {
				t.Errorf("IoT Hub's other rules are in effect: %v", strict)
			}
			if r.DeviceMessages.PerSecond() != 0 {
				t.Error("IoT Hub has no limits of one device")
			}
		})
	}
}

// TestRatesOverProfile: a key counts more than the profile.
func TestRatesOverProfile(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Source{File: file(t, "profile: strict-azure-s1\nrates: {node_messages: 5/s, node_connects: 0, device_messages: 1/min}\n")})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Rates; r.NodeMessages != "5/s" || r.NodeConnects.PerSecond() != 0 || r.NodeTwinReads != "100/s" || r.DeviceMessages != "1/min" {
		t.Errorf("got %+v", r)
	}
	if got := c.Origin("rates.node_twin_reads"); got != "profile strict-azure-s1" {
		t.Errorf("node_twin_reads comes from %q", got)
	}
}

func TestRatesThatAreWrong(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ key, value, want string }{
		"no units":      {"rates.units", "0", "0 is not from 1 to 200"},
		"many units":    {"rates.units", "201", "201 is not from 1 to 200"},
		"no burst":      {"rates.burst", "0", "0 is not from 100ms to 1h"},
		"factor":        {"rates.abuse_factor", "1", "1 is not 2 or more"},
		"never cut":     {"rates.abuse_after", "0", ""},
		"short penalty": {"limits.penalty", "10ms", "10ms is not from 1s to 1h, nor 0 for none"},
		"no penalty":    {"limits.penalty", "0", ""},
		"exempt name":   {"limits.penalty_exempt", "lb.example", `"lb.example" is neither an IP address nor a network`},
		"exempt net":    {"limits.penalty_exempt", "10.0.0.0/8", ""},
		"exempt IPv6":   {"limits.penalty_exempt", "2001:db8::1", ""},
		"little memory": {"limits.memory", "1023KiB", "1023KiB is not 1MiB or more, nor 0 for no limit"},
		"no limit":      {"limits.memory", "0", ""},
		"long drain":    {"limits.drain", "61m", "1h1m is not from 0 to 1h"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Load(config.Source{Settings: []config.Setting{flag(tt.key, tt.value)}})
			if err == nil {
				err = c.Complete(config.Dev)
			}
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
