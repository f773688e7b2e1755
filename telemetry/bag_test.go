package telemetry

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

// failer is a *testing.T or a *rapid.T.
type failer interface{ Fatalf(string, ...any) }

// bag is a parsed property bag, in a form that cmp compares.
type bag struct {
	System map[string]string // by header name
	App    []string          // name=value, or the name alone without a value
}

func parse(t failer, text string) bag {
	var m Message
	if err := m.ParseBag([]byte(text)); err != nil {
		t.Fatalf("parse %q: %v", text, err)
	}
	return bagOf(&m)
}

func bagOf(m *Message) bag {
	b := bag{System: map[string]string{}}
	for p, v := range &m.System {
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
		"Python": {
			"%24.mid=a%20b%2Fc%2Bd%26e%3D%C3%A9&%24.ct=application%2Fjson&%24.ce=utf-8&e=&p%201=v%2F%2B%25",
			bag{system{"message-id": "a b/c+d&e=é", "content-type": "application/json", "content-encoding": "utf-8"}, []string{"e=", "p 1=v/+%"}},
		},
		"C, nothing escaped": {
			"p1=v w/+%&%24.mid=a b/c&%24.ct=application/json&%24.ce=utf-8",
			bag{system{"message-id": "a b/c", "content-type": "application/json", "content-encoding": "utf-8"}, []string{"p1=v w/+%"}},
		},
		"C#, a slash behind":    {"a=b&n/", bag{system{}, []string{"a=b", "n"}}},
		"only one slash goes":   {"a=b//", bag{system{}, []string{"a=b/"}}},
		"Node, module output":   {"%24.on=out1/", bag{system{"output-name": "out1"}, nil}},
		"Java, raw $":           {"$.mid=1&$.uid=u&$.to=t&a=b", bag{system{"message-id": "1", "user-id": "u", "to": "t"}, []string{"a=b"}}},
		"C, lower-case escapes": {"%24.ifid=urn%3aazureiot%3aSecurity", bag{system{"iothub-interface-id": "urn:azureiot:Security"}, nil}},
		"every system property": {
			"$.mid=1&$.cid=2&$.uid=3&$.to=4&$.exp=5&$.ct=6&$.ce=7&$.ctime=8&$.schema=9&$.on=10&$.ifid=11&$.sub=12&$.cdid=13&$.cmid=14&$.diagid=15&$.diagctx=16",
			bag{system{
				"message-id": "1", "correlation-id": "2", "user-id": "3", "to": "4", "absolute-expiry-time": "5", "content-type": "6",
				"content-encoding": "7", "iothub-creation-time-utc": "8", "iothub-message-schema": "9", "output-name": "10", "iothub-interface-id": "11",
				"dt-subject": "12", "sender-device-id": "13", "sender-module-id": "14", "Diagnostic-Id": "15", "Correlation-Context": "16",
			}, nil},
		},
		"times are not looked at": {"$.exp=never&$.ctime=%20", bag{system{"absolute-expiry-time": "never", "iothub-creation-time-utc": " "}, nil}},
		"a question mark first":   {"?a=b", bag{system{}, []string{"a=b"}}},
		"one question mark goes":  {"??a=b", bag{system{}, []string{"?a=b"}}},
		"plus is plus":            {"a+b=c+d", bag{system{}, []string{"a+b=c+d"}}},
		"no value":                {"a&b=&c", bag{system{}, []string{"a", "b=", "c"}}},
		"empty pairs":             {"&&a=b&&", bag{system{}, []string{"a=b"}}},
		"the first = cuts":        {"a=b=c", bag{system{}, []string{"a=b=c"}}},
		"escaped = and & do not":  {"a%3Db=c%26d", bag{system{}, []string{"a=b=c&d"}}},
		"the last one counts":     {"a=1&b=2&a=3", bag{system{}, []string{"a=3", "b=2"}}},
		"the last is null":        {"a=1&a", bag{system{}, []string{"a"}}},
		"the last is not null":    {"a&a=", bag{system{}, []string{"a="}}},
		"last system one counts":  {"$.mid=1&%24.mid=2", bag{system{"message-id": "2"}, nil}},
		"same name when decoded":  {"a%62=1&ab=2", bag{system{}, []string{"ab=2"}}},
		"decoded once":            {"a%2541=%2542", bag{system{}, []string{"a%41=%42"}}},
		"bad escapes stay":        {"a=%&b=%2&c=%zz&d=%%41&e=%4g&f=%G4", bag{system{}, []string{"a=%", "b=%2", "c=%zz", "d=%A", "e=%4g", "f=%G4"}}},
		"beside hex digits":       {"a=%4:&b=%4@&c=%4`&d=%:4&e=%@4&f=%`4", bag{system{}, []string{"a=%4:", "b=%4@", "c=%4`", "d=%:4", "e=%@4", "f=%`4"}}},
		"case counts":             {"$.MID=1&MID=2", bag{system{}, []string{"$.MID=1", "MID=2"}}},
		"unknown system name":     {"$.xyz=1&$=2&$.=3&$mid=4", bag{system{}, []string{"$.xyz=1", "$=2", "$.=3", "$mid=4"}}},
		"system, empty and none":  {"%24.mid=&%24.cid", bag{system{"message-id": ""}, nil}},
		"system, then without":    {"$.mid=1&$.mid", bag{system{}, nil}},
		"nothing":                 {"", bag{system{}, nil}},
		"a slash":                 {"/", bag{system{}, nil}},
		"a slash after ?":         {"?/", bag{system{}, nil}},
		"control characters":      {"a=%00%0d%0a", bag{system{}, []string{"a=\x00\r\n"}}},
		"Unicode, raw":            {"größe=漢字😀", bag{system{}, []string{"größe=漢字😀"}}},
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
		"no name":            {"a=b&=s3cret", "property 2 of the bag has no name"},
		"neither":            {"=", "property 1 of the bag has no name"},
		"place counts pairs": {"&&=c", "property 3 of the bag has no name"},
		"value is not UTF-8": {"a=s3cret%FF", "the value of property 1"},
		"name is not UTF-8":  {"a=b&s3cret%C3=c", "the name of property 2"},
		"half a character":   {"a=%C3", "the value of property 1"},
		"surrogate":          {"a=%ED%A0%80", "the value of property 1"},
		"overlong":           {"a=%C0%AF", "the value of property 1"},
		"raw bytes":          {"a=\xff", "the value of property 1"},
		"raw name":           {"\xff", "the name of property 1"},
		"system value":       {"%24.mid=%FF", "the value of property 1"},
		"split by a pair":    {"a=%C3&%A4=1", "the value of property 1"},
	} {
		t.Run(name, func(t *testing.T) {
			var m Message
			err := m.ParseBag([]byte(tc.in))
			if hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("ParseBag: %v, want ArgumentInvalid that says %q", err, tc.says)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error %q holds what was sent", err)
			}
		})
	}
}

// A message that is used again has nothing of the bag before.
func TestParseBagReplaces(t *testing.T) {
	var m Message
	for _, in := range []string{"a=1&b=%32&$.mid=3&n", "%24.cid=%34&a", "", manyPairs(100, "x"), "x1=y"} {
		if err := m.ParseBag([]byte(in)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(parse(t, in), bagOf(&m)); diff != "" {
			t.Errorf("after %.20q (-want +got):\n%s", in, diff)
		}
	}
}

// manyPairs is a bag of n properties.
func manyPairs(n int, value string) string {
	pairs := make([]string, n)
	for i := range pairs {
		pairs[i] = fmt.Sprintf("x%d=%s", i, value)
	}
	return strings.Join(pairs, "&")
}

// However many properties there are, they are an ordered map.
func TestParseBagOfMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pairs, order []string
		want := map[string]string{}
		for i := range rapid.IntRange(0, 120).Draw(t, "pairs") {
			name := fmt.Sprintf("%x", rapid.IntRange(0, 60).Draw(t, "name"))
			if _, ok := want[name]; !ok {
				order = append(order, name)
			}
			want[name] = fmt.Sprint(i)
			pairs = append(pairs, name+"="+want[name])
		}
		var app []string
		for _, name := range order {
			app = append(app, name+"="+want[name])
		}
		if diff := cmp.Diff(bag{map[string]string{}, app}, parse(t, strings.Join(pairs, "&"))); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// The longest topic is full of properties, each twice.
func TestParseBagOfTheLongestTopic(t *testing.T) {
	half := manyPairs(4000, "")
	in := half + "&" + strings.ReplaceAll(half, "=", "=1")
	if len(in) > 1<<17 {
		t.Fatalf("%d bytes", len(in))
	}
	var m Message
	if err := m.ParseBag([]byte(in)); err != nil {
		t.Fatal(err)
	}
	if len(m.Properties) != 4000 {
		t.Fatalf("%d properties, want 4000", len(m.Properties))
	}
	for i, p := range m.Properties {
		if want := fmt.Sprintf("x%d", i); string(p.Name) != want || string(p.Value) != "1" {
			t.Fatalf("property %d is %s=%s, want %s=1", i, p.Name, p.Value, want)
		}
	}
}

func TestParseBagAllocatesNothing(t *testing.T) {
	for name, in := range map[string][]byte{
		"usual":       []byte("%24.mid=a%20b&%24.ct=application%2Fjson&%24.ce=utf-8&temperature=21.5&p%201=v%2F%2B%25&e=&n"),
		"nothing":     nil,
		"many":        []byte(manyPairs(60, "%41")),
		"an 8 KB one": append([]byte("big="), bytes.Repeat([]byte("%C3%A4 "), 1100)...),
	} {
		t.Run(name, func(t *testing.T) {
			m := Message{From: hub.Identity{Device: "dev1"}}
			var h Headers
			run := func() {
				m.Reset()
				if err := m.ParseBag(in); err != nil {
					t.Fatal(err)
				}
				m.AddProperty("mqtt-retain", "true")
				m.AuthMethod, m.Source = AuthMethodDevice, SourceTelemetry
				h.Reset()
				m.Headers(&h)
				if m.Size() > MaxSize {
					t.Fatal("too large")
				}
			}
			run()
			if n := testing.AllocsPerRun(100, run); n != 0 {
				t.Errorf("%v allocations, want none", n)
			}
		})
	}
}

func FuzzParseBag(f *testing.F) {
	f.Add([]byte("%24.mid=a&b=c&d"))
	f.Add([]byte("p1=v w/+%&%24.mid=a b/c/"))
	f.Add([]byte("a=%zz%4&=%"))
	f.Add([]byte(manyPairs(20, "%00") + "&x1&x2="))
	f.Fuzz(func(t *testing.T, in []byte) {
		var m Message
		before := bytes.Clone(in)
		err := m.ParseBag(in)
		if !bytes.Equal(before, in) {
			t.Fatal("the bag was written to")
		}
		if err != nil {
			if hub.CodeOf(err) != hub.ArgumentInvalid {
				t.Errorf("code of %v", err)
			}
			return
		}
		isUnique(t, &m)
		if m.Size() > len(in) {
			t.Errorf("%d bytes out of a bag of %d", m.Size(), len(in))
		}
		var h Headers
		m.Headers(&h)
		comesBack(t, &m, ParseHeaders(headerMap(t, &h)))
	})
}

func isUnique(t failer, m *Message) {
	names := make([]string, 0, len(m.Properties))
	for _, p := range m.Properties {
		names = append(names, string(p.Name))
	}
	slices.Sort(names)
	if n := len(slices.Compact(slices.Clone(names))); n != len(names) {
		t.Fatalf("%d names, %d different ones", len(names), n)
	}
}
