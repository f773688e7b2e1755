package telemetry

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

// bag is a parsed property bag, in a form that cmp compares.
type bag struct {
	System map[string]string // by header name
	App    []string          // name=value, or the name alone without a value
}

func parse(t interface{ Fatal(...any) }, text string) bag {
	var m Message
	if err := m.ParseBag([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return bagOf(&m)
}

func bagOf(m *Message) bag {
	b := bag{System: map[string]string{}}
	for p, v := range m.System {
		if v != nil {
			b.System[SystemProperty(p).Header()] = string(v)
		}
	}
	for _, p := range m.Properties {
		if p.Null {
			b.App = append(b.App, string(p.Name))
		} else {
			b.App = append(b.App, string(p.Name)+"="+string(p.Value))
		}
	}
	return b
}

// The topics that SDKs were seen to send, and the documented odd ones.
func TestParseBag(t *testing.T) {
	type system = map[string]string
	for name, tc := range map[string]struct {
		in   string
		want bag
	}{
		"Node": {
			"%24.mid=a%20b%2Fc%2Bd%26e%3D%C3%A9&%24.cid=c&%24.ct=application%2Fjson&%24.ce=utf-8&p%201=v%2F%2B%25&e=&%24.sub=comp1",
			bag{system{"message-id": "a b/c+d&e=é", "correlation-id": "c", "content-type": "application/json", "content-encoding": "utf-8", "dt-subject": "comp1"}, []string{"p 1=v/+%", "e="}},
		},
		"C, nothing escaped": {
			"p1=v w/+%&%24.mid=a b/c&%24.ct=application/json&%24.ce=utf-8",
			bag{system{"message-id": "a b/c", "content-type": "application/json", "content-encoding": "utf-8"}, []string{"p1=v w/+%"}},
		},
		"C#, a slash behind":     {"a=b/", bag{system{}, []string{"a=b"}}},
		"only one slash goes":    {"a=b//", bag{system{}, []string{"a=b/"}}},
		"Node module output":     {"%24.on=out%201&k%26=v%3D/", bag{system{"output-name": "out 1"}, []string{"k&=v="}}},
		"Java, raw $":            {"$.mid=1&$.uid=u&$.to=t&a=b", bag{system{"message-id": "1", "user-id": "u", "to": "t"}, []string{"a=b"}}},
		"C, lower-case escapes":  {"%24.ifid=urn%3aazureiot%3aSecurity", bag{system{"iothub-interface-id": "urn:azureiot:Security"}, nil}},
		"every system property":  {"$.mid=1&$.cid=2&$.uid=3&$.to=4&$.exp=5&$.ct=6&$.ce=7&$.ctime=8&$.schema=9&$.on=10&$.ifid=11&$.sub=12&$.cdid=13&$.cmid=14&$.diagid=15&$.diagctx=16", bag{system{"message-id": "1", "correlation-id": "2", "user-id": "3", "to": "4", "absolute-expiry-time": "5", "content-type": "6", "content-encoding": "7", "iothub-creation-time-utc": "8", "iothub-message-schema": "9", "output-name": "10", "iothub-interface-id": "11", "dt-subject": "12", "sender-device-id": "13", "sender-module-id": "14", "Diagnostic-Id": "15", "Correlation-Context": "16"}, nil}},
		"a question mark first":  {"?a=b", bag{system{}, []string{"a=b"}}},
		"plus is plus":           {"a+b=c+d", bag{system{}, []string{"a+b=c+d"}}},
		"no value":               {"a&b=&c", bag{system{}, []string{"a", "b=", "c"}}},
		"empty pairs":            {"&&a=b&&", bag{system{}, []string{"a=b"}}},
		"the first = cuts":       {"a=b=c", bag{system{}, []string{"a=b=c"}}},
		"the last one counts":    {"a=1&b=2&a=3", bag{system{}, []string{"a=3", "b=2"}}},
		"same name when decoded": {"a%62=1&ab=2", bag{system{}, []string{"ab=2"}}},
		"bad escapes stay":       {"a=%&b=%2&c=%zz&d=%%41", bag{system{}, []string{"a=%", "b=%2", "c=%zz", "d=%A"}}},
		"case counts":            {"$.MID=1&MID=2", bag{system{}, []string{"$.MID=1", "MID=2"}}},
		"unknown system name":    {"$.xyz=1&$=2", bag{system{}, []string{"$.xyz=1", "$=2"}}},
		"system, empty and none": {"%24.mid=&%24.cid", bag{system{"message-id": ""}, nil}},
		"nothing":                {"", bag{system{}, nil}},
		"a slash":                {"/", bag{system{}, nil}},
		"control characters":     {"a=%00%0d%0a", bag{system{}, []string{"a=\x00\r\n"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parse(t, tc.in)); diff != "" {
				t.Errorf("ParseBag(%q) (-want +got):\n%s", tc.in, diff)
			}
		})
	}
}

func TestParseBagRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ in, says string }{
		"no name":            {"a=b&=c", "property 2 of the bag has no name"},
		"value is not UTF-8": {"a=%FF", "the value of property 1"},
		"name is not UTF-8":  {"a=b&%C3=c", "the name of property 2"},
		"half a character":   {"a=%C3", "the value of property 1"},
		"surrogate":          {"a=%ED%A0%80", "the value of property 1"},
		"raw bytes":          {"a=\xff", "the value of property 1"},
		"system value":       {"%24.mid=%FF", "the value of property 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var m Message
			err := m.ParseBag([]byte(tc.in))
			if hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("ParseBag: %v, want ArgumentInvalid that says %q", err, tc.says)
			}
		})
	}
}

// Whatever an SDK escapes or leaves, the properties come out as they went in.
func TestParseBagIsTheInverseOfEverySDK(t *testing.T) {
	encoders := map[string]func(string) string{
		"encodeURIComponent": func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") },
		"lower case": func(s string) string {
			return strings.ToLower(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"))
		},
		"everything": func(s string) string {
			var b strings.Builder
			for i := range len(s) {
				b.WriteString("%" + strings.ToUpper(string("0123456789abcdef"[s[i]>>4])+string("0123456789abcdef"[s[i]&15])))
			}
			return b.String()
		},
	}
	for name, encode := range encoders {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				text := rapid.String()
				if name == "lower case" {
					text = rapid.StringMatching(`[a-z0-9 +%/&=$.é\n]*`)
				}
				names := rapid.SliceOfNDistinct(text.Filter(func(s string) bool {
					return s != "" && utf8.ValidString(s) && !strings.HasPrefix(s, "$.")
				}), 0, 5, rapid.ID[string]).Draw(t, "names")
				var want []string
				var pairs []string
				for _, n := range names {
					v := text.Filter(utf8.ValidString).Draw(t, "value")
					want = append(want, n+"="+v)
					pairs = append(pairs, encode(n)+"="+encode(v))
				}
				mid := text.Filter(utf8.ValidString).Draw(t, "message id")
				got := parse(t, "%24.mid="+encode(mid)+"&"+strings.Join(pairs, "&")+"/")
				if diff := cmp.Diff(bag{map[string]string{"message-id": mid}, want}, got); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestParseBagAllocatesNothing(t *testing.T) {
	in := []byte("%24.mid=a%20b&%24.ct=application%2Fjson&%24.ce=utf-8&temperature=21.5&p%201=v%2F%2B%25&e=&n")
	var m Message
	var h Headers
	m.From = hub.Identity{Device: "dev1"}
	run := func() {
		m.Reset()
		m.Properties = m.Properties[:0]
		if err := m.ParseBag(in); err != nil {
			t.Fatal(err)
		}
		h.Reset()
		m.Headers(&h)
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestSize(t *testing.T) {
	m := Message{Body: make([]byte, 100)}
	if err := m.ParseBag([]byte("%24.mid=abc&key=value&n")); err != nil {
		t.Fatal(err)
	}
	// The name of a system property does not count, that of another does.
	if got, want := m.Size(), 100+3+8+1; got != want {
		t.Errorf("Size() = %d, want %d", got, want)
	}
	m.AddProperty("key", "v")
	if got, want := m.Size(), 100+3+4+1; got != want {
		t.Errorf("Size() = %d after replacing a property, want %d", got, want)
	}
}

func FuzzParseBag(f *testing.F) {
	f.Add([]byte("%24.mid=a&b=c&d"))
	f.Add([]byte("p1=v w/+%&%24.mid=a b/c/"))
	f.Add([]byte("a=%zz%4&=%"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var m Message
		if err := m.ParseBag(in); err != nil {
			if hub.CodeOf(err) != hub.ArgumentInvalid {
				t.Errorf("code of %v", err)
			}
			return
		}
		want := bagOf(&m)
		var h Headers
		m.Headers(&h)
		e := ParseHeaders(headerMap(t, &h))
		if len(e.Properties)+len(e.Nulls) != len(want.App) {
			t.Fatalf("%d properties came back as %d and %d nulls", len(want.App), len(e.Properties), len(e.Nulls))
		}
		for _, p := range m.Properties {
			if got, ok := e.Properties[string(p.Name)]; !p.Null && (!ok || got != string(p.Value)) {
				t.Fatalf("property %q came back as %q", p.Name, got)
			}
		}
		for p, v := range m.System {
			if got, ok := e.System[SystemProperty(p)]; ok != (v != nil) || got != string(v) {
				t.Fatalf("system property %s: %q came back as %q", SystemProperty(p).Header(), v, got)
			}
		}
	})
}
