package subject_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

func TestTokens(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ id, want string }{
		"plain":        {"Dev-1_x", "Dev-1_x"},
		"dot":          {"a.b", "a=2Eb"},
		"wildcard":     {"x*", "x=2A"},
		"percent":      {"50%", "50=25"},
		"escape":       {"a=2Eb", "a=3D2Eb"},
		"edge module":  {"$edgeHub", "=24edgeHub"},
		"every symbol": {"-:.+%_#*?!(),=@;$'", "-=3A=2E=2B=25_=23=2A=3F=21=28=29=2C=3D=40=3B=24=27"},
		"space":        {" ", "=20"},
		"umlaut":       {"ä", "=C3=A4"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := subject.EncodeToken(tt.id); got != tt.want {
				t.Errorf("EncodeToken(%q) = %q, want %q", tt.id, got, tt.want)
			}
			got, err := subject.DecodeToken(tt.want)
			if err != nil || got != tt.id {
				t.Errorf("DecodeToken(%q) = %q, %v, want %q", tt.want, got, err, tt.id)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"empty":                "",
		"dot":                  "a.b",
		"wildcard":             "*",
		"tail wildcard":        ">",
		"space":                "a b",
		"cut escape":           "a=2",
		"lone escape":          "a=",
		"lower-case hex":       "a=2e",
		"no hex":               "a=ZZ",
		"needless escape":      "=41",
		"needless dash escape": "a=2D",
		"percent escape":       "a%2E",
	}
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := subject.DecodeToken(token); hub.CodeOf(err) != hub.ArgumentInvalid {
				t.Errorf("DecodeToken(%q) = %q, %v, want ArgumentInvalid", token, got, err)
			}
		})
	}
}

// What nats.go accepts as a key, and what is one literal subject token.
func legal(key string) bool {
	return regexp.MustCompile(`^[-/_=.a-zA-Z0-9]+$`).MatchString(key) &&
		!strings.HasPrefix(key, ".") && !strings.HasSuffix(key, ".") && !strings.Contains(key, "..")
}

func anyID() *rapid.Generator[string] {
	return rapid.StringMatching(`[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}`)
}

func TestKeysAreReversible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := hub.Identity{Device: anyID().Draw(t, "device")}
		if rapid.Bool().Draw(t, "is module") {
			id.Module = anyID().Draw(t, "module")
		}
		key := subject.Key(id)
		if !legal(key) {
			t.Fatalf("Key(%v) = %q is not a legal key", id, key)
		}
		if got := strings.Contains(key, "."); got != id.IsModule() || strings.Count(key, ".") > 1 {
			t.Fatalf("Key(%v) = %q has not one token for each id", id, key)
		}
		if got, err := subject.ParseKey(key); err != nil || got != id {
			t.Fatalf("ParseKey(%q) = %v, %v, want %v", key, got, err, id)
		}
	})
}

func TestKeysAreInjective(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := hub.Identity{Device: anyID().Draw(t, "a"), Module: rapid.OneOf(rapid.Just(""), anyID()).Draw(t, "am")}
		b := hub.Identity{Device: anyID().Draw(t, "b"), Module: rapid.OneOf(rapid.Just(""), anyID()).Draw(t, "bm")}
		if (subject.Key(a) == subject.Key(b)) != (a == b) {
			t.Fatalf("%v and %v have the keys %q and %q", a, b, subject.Key(a), subject.Key(b))
		}
	})
}

func FuzzDecodeToken(f *testing.F) {
	for _, s := range []string{"a", "a=2Eb", "=", "=4", "=41", "a.b", "=C3=A4", "=00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := subject.DecodeToken(token)
		if err != nil {
			return
		}
		if again := subject.EncodeToken(id); again != token {
			t.Errorf("EncodeToken(DecodeToken(%q)) = %q", token, again)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"a", "a.b", "a.b.c", ".a", "a.", "a=2Eb.=24edgeHub", strings.Repeat("a", 129)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		id, err := subject.ParseKey(key)
		if err != nil {
			return
		}
		if again := subject.Key(id); again != key || !legal(key) || !hub.ValidID(id.Device) {
			t.Errorf("Key(ParseKey(%q)) = %q", key, again)
		}
	})
}

func TestNames(t *testing.T) {
	t.Parallel()
	var n subject.Names
	device := hub.Identity{Device: "a.b"}
	module := hub.Identity{Device: "a.b", Module: "$edgeHub"}
	tests := map[string]struct{ got, want string }{
		"telemetry stream":    {n.TelemetryStream(), "HUB_TELEMETRY"},
		"events stream":       {n.EventsStream(), "HUB_EVENTS"},
		"device bucket":       {n.DeviceBucket(), "hub_devices"},
		"presence bucket":     {n.PresenceBucket(), "hub_presence"},
		"policy bucket":       {n.PolicyBucket(), "hub_policies"},
		"authority bucket":    {n.AuthorityBucket(), "hub_authorities"},
		"authority":           {n.Authority(subject.Code, "a.b"), "hub.authority.code.a=2Eb"},
		"authority verb":      {n.AuthorityVerb(subject.List), "hub.authority.list"},
		"authority verb, all": {n.AuthorityAll(subject.Prove), "hub.authority.verify.*"},
		"authority service":   {n.AuthorityName(), "hub-authority"},
		"all telemetry":       {n.TelemetryAll(), "hub.telemetry.>"},
		"telemetry":           {n.Telemetry(device), "hub.telemetry.a=2Eb"},
		"module telemetry":    {n.Telemetry(module), "hub.telemetry.a=2Eb.=24edgeHub"},
		"connection event":    {n.ConnectionEvent(module), "hub.events.connection.a=2Eb.=24edgeHub"},
		"lifecycle event":     {n.LifecycleEvent(device), "hub.events.lifecycle.a=2Eb"},
		"all events":          {n.EventsAll(), "hub.events.>"},
		"claimed":             {n.Claimed(device), "hub.session.claimed.a=2Eb"},
		"all claimed":         {n.ClaimedAll(), "hub.session.claimed.>"},
		"registry":            {n.Registry(subject.Get, module), "hub.registry.get.a=2Eb.=24edgeHub"},
		"registry verb":       {n.RegistryVerb(subject.List), "hub.registry.list"},
		"registry verb, all":  {n.RegistryAll(subject.Put), "hub.registry.put.>"},
		"registry service":    {n.RegistryName(), "hub-registry"},
		"modules of a device": {subject.ModuleKeys("a.b"), "a=2Eb.*"},
		"other stream":        {subject.Names{Prefix: "plant-2"}.TelemetryStream(), "PLANT-2_TELEMETRY"},
		"other subject":       {subject.Names{Prefix: "plant-2"}.Telemetry(device), "plant-2.telemetry.a=2Eb"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.got != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}

func TestTelemetryOfIncludesModules(t *testing.T) {
	t.Parallel()
	var n subject.Names
	got := n.TelemetryOf(hub.Identity{Device: "d"})
	if want := []string{"hub.telemetry.d", "hub.telemetry.d.*"}; !slices.Equal(got, want) {
		t.Errorf("TelemetryOf device = %q, want %q", got, want)
	}
	got = n.TelemetryOf(hub.Identity{Device: "d", Module: "m"})
	if want := []string{"hub.telemetry.d.m"}; !slices.Equal(got, want) {
		t.Errorf("TelemetryOf module = %q, want %q", got, want)
	}
}

func TestParseSubject(t *testing.T) {
	t.Parallel()
	var n subject.Names
	tests := map[string]struct {
		family, subject string
		want            hub.Identity
		code            hub.Code
	}{
		"device":       {"telemetry", "hub.telemetry.a=2Eb", hub.Identity{Device: "a.b"}, 0},
		"module":       {"telemetry", "hub.telemetry.d.m", hub.Identity{Device: "d", Module: "m"}, 0},
		"deep family":  {"events.connection", "hub.events.connection.d", hub.Identity{Device: "d"}, 0},
		"no identity":  {"telemetry", "hub.telemetry.", hub.Identity{}, hub.ArgumentInvalid},
		"other family": {"telemetry", "hub.twin.d", hub.Identity{}, hub.ArgumentInvalid},
		"other hub":    {"telemetry", "bub.telemetry.d", hub.Identity{}, hub.ArgumentInvalid},
		"three tokens": {"telemetry", "hub.telemetry.a.b.c", hub.Identity{}, hub.ArgumentInvalid},
		"bad escape":   {"telemetry", "hub.telemetry.a=b", hub.Identity{}, hub.ArgumentInvalid},
		"not an id":    {"telemetry", "hub.telemetry.a=20b", hub.Identity{}, hub.ArgumentInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := n.Parse(tt.family, tt.subject)
			if got != tt.want || hub.CodeOf(err) != tt.code {
				t.Errorf("Parse = %v, %v, want %v and code %d", got, err, tt.want, tt.code)
			}
		})
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		prefix string
		code   hub.Code
	}{
		"default":    {"", 0},
		"plain":      {"plant-2_x", 0},
		"upper case": {"Hub", hub.ArgumentInvalid},
		"dot":        {"a.b", hub.ArgumentInvalid},
		"wildcard":   {"*", hub.ArgumentInvalid},
		"system":     {"$JS", hub.ArgumentInvalid},
		"too long":   {strings.Repeat("a", 65), hub.ArgumentInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := (subject.Names{Prefix: tt.prefix}).Validate(); hub.CodeOf(err) != tt.code {
				t.Errorf("Validate = %v, want code %d", err, tt.code)
			}
		})
	}
}

func TestAppendTelemetryDoesNotAllocate(t *testing.T) {
	var n subject.Names
	id := hub.Identity{Device: "dev-1.x", Module: "$m"}
	buf := make([]byte, 0, 128)
	got := testing.AllocsPerRun(100, func() { buf = n.AppendTelemetry(buf[:0], id) })
	if got != 0 {
		t.Errorf("AppendTelemetry allocates %v times, want 0", got)
	}
}
