package subject_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

func TestMethodNames(t *testing.T) {
	t.Parallel()
	var n subject.Names
	device, module := hub.Identity{Device: "a.b"}, hub.Identity{Device: "d", Module: "$edgeHub"}
	tests := map[string]struct{ got, want string }{
		"service":         {n.MethodName(), "hub-method"},
		"all methods":     {n.MethodAll(), "hub.method.>"},
		"method":          {n.Method(device, "fan.set"), "hub.method.a=2Eb.fan=2Eset"},
		"module's method": {n.Method(module, "*"), "hub.method.d.=24edgeHub.=2A"},
		"node":            {n.NodeMethod("host.example"), "hub.session.method.host=2Eexample"},
		"callable":        {n.Callable(module), "hub.session.callable.d.=24edgeHub"},
		"command service": {n.CommandName(), "hub-command"},
		"list commands":   {n.CommandVerb(subject.List), "hub.command.list"},
		"all lists":       {n.CommandAll(subject.List), "hub.command.list.>"},
		"cancel":          {n.Command(subject.Cancel, device), "hub.command.cancel.a=2Eb"},
		"command event":   {n.CommandEvent(module), "hub.events.command.d.=24edgeHub"},
		"bucket":          {n.CommandBucket(), "hub_commands"},
		"command key":     {subject.CommandKey(module, "0a"), "d.=24edgeHub.0a"},
	}
	for name, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, want %q", name, tt.got, tt.want)
		}
	}
}

// Any printable name makes one subject, and is found in it again.
func TestMethodSubjectsAreReversible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := hub.Identity{Device: anyID().Draw(t, "device"), Module: rapid.OneOf(rapid.Just(""), anyID()).Draw(t, "module")}
		method := rapid.StringMatching(`[!-~]{1,128}`).Draw(t, "method")
		var n subject.Names
		s := n.Method(id, method)
		gotID, got, err := n.ParseMethod(s)
		if err != nil || gotID != id || got != method {
			t.Fatalf("ParseMethod(%q) = %v, %q, %v", s, gotID, got, err)
		}
		gotID, got, err = subject.ParseCommandKey(subject.CommandKey(id, method))
		if err != nil || gotID != id || got != method {
			t.Fatalf("ParseCommandKey = %v, %q, %v", gotID, got, err)
		}
	})
}

func TestParseMethodRefuses(t *testing.T) {
	t.Parallel()
	var n subject.Names
	for _, s := range []string{"", ".", "hub", "hub.method", "hub.method.", "hub.method.d", "hub.method.d.", "hub.method..m", "hub.method.d.a.m.x", "hub.method.d.a b", "hub.method.d.=2", "bub.method.d.m"} {
		if id, m, err := n.ParseMethod(s); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("ParseMethod(%q) = %v, %q, %v", s, id, m, err)
		}
	}
	for _, key := range []string{"", "d", "d.", "d.m.x.y", ".c"} {
		if id, c, err := subject.ParseCommandKey(key); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("ParseCommandKey(%q) = %v, %q, %v", key, id, c, err)
		}
	}
}

// Where the hub may publish for a caller.
func TestForeignSubjects(t *testing.T) {
	t.Parallel()
	n := subject.Names{Prefix: "plant"}
	for s, want := range map[string]bool{
		"app.results": true, "_INBOX.x.1": true, "hub.x": true, "planter": true, "ä.b": true, strings.Repeat("a", 255): true,
		"": false, ".": false, "a..b": false, "a.": false, "a.*": false, ">": false, "a b": false, "a\r\nPUB": false, "a\x00": false, "\xff": false,
		strings.Repeat("a", 256): false, "plant": false, "plant.telemetry.x": false, "$JS.API.X": false, "$KV.x": false, "_INBOX_plant.x": false,
	} {
		if got := subject.ValidSubject(s) && !n.Owns(s); got != want {
			t.Errorf("%.40q: got %v", s, got)
		}
	}
}
