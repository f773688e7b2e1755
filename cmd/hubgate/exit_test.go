package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// TestExitCodes holds what scripts rely on.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  error
		want int
	}{
		"success":          {nil, 0},
		"unclassified":     {errors.New("x"), 1},
		"our fault":        {hub.Errorf(hub.ServerError, "x"), 1},
		"too many modules": {hub.Errorf(hub.TooManyModules, "x"), 1},
		"usage":            {usagef("x"), 2},
		"wrapped usage":    {fmt.Errorf("y: %w", usagef("x")), 2},
		"bad argument":     {hub.Errorf(hub.ArgumentInvalid, "x"), 2},
		"no device":        {hub.Errorf(hub.DeviceNotFound, "x"), 3},
		"no module":        {hub.Errorf(hub.ModuleNotFound, "x"), 3},
		"wrapped":          {fmt.Errorf("y: %w", hub.Errorf(hub.DeviceNotFound, "x")), 3},
		"device exists":    {hub.Errorf(hub.DeviceAlreadyExists, "x"), 4},
		"module exists":    {hub.Errorf(hub.ModuleAlreadyExists, "x"), 4},
		"changed":          {hub.Errorf(hub.PreconditionFailed, "x"), 4},
		"unauthorized":     {hub.Errorf(hub.Unauthorized, "x"), 5},
		"unavailable":      {hub.Errorf(hub.ServiceUnavailable, "x"), 6},
		"disabled":         {hub.Errorf(hub.DeviceDisabled, "x"), 5},
		"no answer":        {hub.Errorf(hub.GatewayTimeout, "no answer on x: %w", context.DeadlineExceeded), 6},
		"silent device":    {hub.Errorf(hub.GatewayTimeout, "x"), 1},
		"queue full":       {hub.Errorf(hub.QueueFull, "x"), 1},
		"stream full":      {hub.Errorf(hub.QuotaExceeded, "x"), 1},
		"too many calls":   {hub.Errorf(hub.TooManyCalls, "x"), 1},
		"too large a twin": {hub.Errorf(hub.TooManyProperties, "x"), 1},
		"too late":         {hub.Errorf(hub.InvalidExpiry, "x"), 2},
		"no policy":        {hub.Errorf(hub.NotFound, "x"), 3},
		"deadline":         {context.DeadlineExceeded, 6},
	}
	for name, tt := range tests {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err         error
		format      outputFormat
		out, errOut string
	}{
		"table": {hub.Errorf(hub.DeviceNotFound, "no d"), formatTable, "", "hubgate: no d\n"},
		"json": {
			hub.Errorf(hub.DeviceNotFound, "no d"), formatJSON,
			`{"error":{"code":404001,"name":"DeviceNotFound","message":"no d"}}` + "\n", "hubgate: no d\n",
		},
		"usage": {
			usagef("no <flag>"), formatJSON,
			`{"error":{"code":400004,"name":"ArgumentInvalid","message":"no <flag>"}}` + "\n", "hubgate: no <flag>\n",
		},
		"wrapped": {fmt.Errorf("find it: %w", hub.Errorf(hub.DeviceNotFound, "no d")), formatTable, "", "hubgate: find it: no d\n"},
		"several": {usageError{errors.Join(errors.New("a"), errors.New("b"))}, formatTable, "", "hubgate: a\nhubgate: b\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			report(tt.err, &out, &errOut, tt.format)
			if out.String() != tt.out || errOut.String() != tt.errOut {
				t.Errorf("got %q and %q, want %q and %q", out.String(), errOut.String(), tt.out, tt.errOut)
			}
		})
	}
}

// TestInterrupted: who has pressed Ctrl-C reads a sentence, not what the program
// calls it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, args := range [][]string{
		{"method", "invoke", "dev1", "reboot", "--connect-timeout", "1m"},
		{"job", "create", "j", "--method", "reboot", "--wait"},
		{"drain"},
	} {
		var out, errOut bytes.Buffer
		a := &app{env: environment("HUBGATE_DATA_DIR=" + dir), out: &out, errOut: &errOut}
		if code := a.run(ctx, args); code != exitFailure || !strings.HasPrefix(errOut.String(), "hubgate: interrupted; ") {
			t.Errorf("%s: got exit code %d and %q", args[0], code, errOut.String())
		}
	}
	p.stopCleanly(t)
}

func TestFormatOf(t *testing.T) {
	t.Parallel()
	tests := map[outputFormat][][]string{
		formatJSON:  {{"-o", "json"}, {"a", "-ojson", "b"}, {"-o=json"}, {"--output=json"}, {"x", "--output", "json"}},
		formatTable: {{}, {"-o", "table"}, {"json"}, {"-o"}, {"--output"}},
	}
	for want, all := range tests {
		for _, args := range all {
			if got := formatOf(args); got != want {
				t.Errorf("%q: got %s, want %s", args, got, want)
			}
		}
	}
}

// TestArgumentsAreUTF8: nothing is done with another text than the one that was given.
func TestArgumentsAreUTF8(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"c2d", "send", "dev1", "\xff\xfe"},
		{"config", "check", "--config", "caf\xe9.yaml"},
		{"-o", "json", "query", "SELECT * FROM devices WHERE tags.x = '\xff'"},
	} {
		r := hubgate(t, nil, args...)
		if r.code != exitUsage {
			t.Errorf("%q: got exit code %d", args, r.code)
		}
		wantAll(t, r.err, "not text in UTF-8", "standard input")
	}
}
