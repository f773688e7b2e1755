package sas

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

func TestCovers(t *testing.T) {
	device := hub.Identity{Device: "d1"}
	module := hub.Identity{Device: "d1", Module: "m1"}
	for sr, want := range map[string][2]bool{ // the device, its module
		"h.x":           {true, true}, // hub-wide
		"H.X":           {true, true},
		"h.x/":          {true, true},
		"h.x/devices":   {true, true},
		"h.x/devices/":  {true, true},
		"h.x%2Fdevices": {true, true},

		"h.x/devices/d1":                                {true, false},
		"h.x%2Fdevices%2Fd1":                            {true, false},
		"h.x%2fdevices%2fd1":                            {true, false},
		"h.x%252Fdevices%252Fd1":                        {true, false},
		"h.x/devices/d1/":                               {true, false},
		"h.x%2Fdevices%2Fd1%2Fapi-version%3D2016-11-14": {true, false},
		"h.x/devices/d1/messages/events":                {true, false},

		"h.x/devices/d1/modules/m1":                 {false, true},
		"h.x%2Fdevices%2Fd1%2Fmodules%2Fm1":         {false, true},
		"h.x/devices/d1/modules/m1/api-version=x":   {false, true},
		"h.x/devices/d1/modules":                    {false, false},
		"h.x/devices/d1/modules/m2":                 {false, false},
		"h.x/devices/d1/modules/m":                  {false, false},
		"h.x/devices/d2":                            {false, false},
		"h.x/devices/d":                             {false, false},
		"h.x/devices/d11":                           {false, false},
		"h.x//devices/d1":                           {false, false},
		"h.x/d1":                                    {false, false},
		"h.x/messages/events":                       {false, false},
		"i.x":                                       {false, false},
		"i.x/devices/d1":                            {false, false},
		"h.x.evil/devices/d1":                       {false, false},
		"h.x%25252Fdevices%25252Fd1":                {false, false}, // three times
		"h.x/devices/d1%2Fmodules%2Fm1":             {false, true},
		"h.x/devices/d2/../d1":                      {false, false},
		"https://h.x/devices/d1":                    {false, false},
		"h.x:8883/devices/d1":                       {false, false}, // the caller strips the port of both
		"":                                          {false, false},
		"%zz/devices/d1":                            {false, false},
		"h.x%2Fdevices%2Fd1%2Fmodules%2Fm1%2Fother": {false, true},
	} {
		t.Run(sr, func(t *testing.T) {
			for i, id := range []hub.Identity{device, module} {
				for _, policy := range []string{"", "p"} {
					token := Token{Resource: sr, Policy: policy}
					if got := token.Covers("h.x", id); got != want[i] {
						t.Errorf("Covers(%s) = %v with policy %q, want %v", id, got, policy, want[i])
					}
				}
			}
		})
	}
}

// Old samples lower-case the whole resource. That is good enough where the
// identity's own key signs, but a policy's key could open another device.
func TestCoversIDsInLowerCase(t *testing.T) {
	id := hub.Identity{Device: "Dev", Module: "Mod"}
	for name, tc := range map[string]struct {
		token Token
		want  bool
	}{
		"own key":      {Token{Resource: "h.x%2fdevices%2fdev%2fmodules%2fmod"}, true},
		"policy's key": {Token{Resource: "h.x%2fdevices%2fdev%2fmodules%2fmod", Policy: "device"}, false},
		"exact":        {Token{Resource: "h.x%2fdevices%2fDev%2fmodules%2fMod", Policy: "device"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.token.Covers("h.x", id); got != tc.want {
				t.Errorf("Covers = %v, want %v", got, tc.want)
			}
		})
	}
	if (Token{Resource: "h/devices/d/Modules/m"}).Covers("h", hub.Identity{Device: "d"}) {
		t.Error("a module's resource covers its device")
	}
}

// An id may look like an escape; what stands there raw is tried first.
func TestCoversIDsWithPercent(t *testing.T) {
	for sr, id := range map[string]string{
		"h/devices/50%":            "50%",
		"h/devices/50%25":          "50%",
		"h%2Fdevices%2F50%2525":    "50%25",
		"h/devices/50%2525":        "50%25",
		"h/devices/a%2Bb":          "a%2Bb", // C, raw
		"h%252Fdevices%252Fa%252B": "a+",
	} {
		if !(Token{Resource: sr, Policy: "p"}).Covers("h", hub.Identity{Device: id}) {
			t.Errorf("%s does not cover %s", sr, id)
		}
	}
}

func TestHost(t *testing.T) {
	for sr, want := range map[string]string{
		"H.x":                     "H.x",
		"h.x/devices/d":           "h.x",
		"h.x%2Fdevices%2Fd":       "h.x",
		"h.x%252Fdevices%252Fd":   "h.x",
		"h.x:8883%2Fdevices%2Fd":  "h.x:8883",
		"h.x/devices/50%":         "h.x",
		"h.x%3A8883/devices/d%2F": "h.x:8883",
		"":                        "",
	} {
		if got := (Token{Resource: sr}).Host(); got != want {
			t.Errorf("Host of %q = %q, want %q", sr, got, want)
		}
	}
}

// A token names first what its key has signed, as it stands, and what it reads
// decoded after that; what was encoded on top by somebody else it does not name.
func TestNamed(t *testing.T) {
	key := []byte("the policy's")
	signed := func(sent, signed string) Token {
		return Token{Resource: sent, ExpiryText: "1", Signature: hmacOf(signed, "1", key), Policy: "p"}
	}
	for name, tc := range map[string]struct {
		token   Token
		want    string
		hubWide bool
	}{
		"plain":              {signed("h/devices/d1", "h/devices/d1"), "d1", false},
		"encoded":            {signed("h%2Fdevices%2Fd1", "h%2Fdevices%2Fd1"), "d1", false},
		"encoded, C":         {signed("h%2Fdevices%2Fd1", "h/devices/d1"), "d1", false},
		"module":             {signed("h%2Fdevices%2Fd1%2Fmodules%2Fm", "h%2Fdevices%2Fd1%2Fmodules%2Fm"), "d1/m", false},
		"module, cut off":    {signed("h/devices/d1/modules", "h/devices/d1/modules"), "d1", false},
		"two":                {signed("h%2Fdevices%2Fa%2562", "h%2Fdevices%2Fa%2562"), "a%62 ab", false},
		"device or module":   {signed("h/devices/a%2Fmodules%2Fm", "h/devices/a%2Fmodules%2Fm"), "a%2Fmodules%2Fm a/m", false},
		"more behind it":     {signed("h/devices/d1/messages/events", "h/devices/d1/messages/events"), "d1", false},
		"the same twice":     {signed("h/devices/d1/a%2Fb", "h/devices/d1/a%2Fb"), "d1", false},
		"no module id":       {signed("h/devices/d1/modules/a b", "h/devices/d1/modules/a b"), "", false},
		"encoded by a thief": {signed("h/devices/a%62", "h/devices/ab"), "ab", false},
		"hub":                {signed("h", "h"), "", true},
		"hub, encoded":       {signed("h%2Fdevices", "h%2Fdevices"), "", true},
		"another host":       {signed("i/devices/d1", "i/devices/d1"), "", false},
		"no id":              {signed("h/devices/a b", "h/devices/a b"), "", false},
		"another kind":       {signed("h/twins/d1", "h/twins/d1"), "", false},
		"another signature":  {signed("h/devices/d1", "h/devices/d2"), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			ids, hubWide := tc.token.Named(key, "h")
			var got []string
			for _, id := range ids {
				got = append(got, id.String())
			}
			if strings.Join(got, " ") != tc.want || hubWide != tc.hubWide {
				t.Errorf("names %v, hub-wide %v, want %s, %v", got, hubWide, tc.want, tc.hubWide)
			}
		})
	}
}

// A service's token is good for what lies below its resource, and whoever has it
// wins nothing by encoding what was signed again.
func TestCoversPath(t *testing.T) {
	for sr, want := range map[string][4]bool{ // of /twins, /twins/a, /twins/a/b, /twins/a%2Fb
		"h":                       {true, true, true, true},
		"h/":                      {true, true, true, true},
		"h/twins":                 {true, true, true, true},
		"h%2Ftwins":               {true, true, true, true},
		"h%252Ftwins":             {true, true, true, true},
		"i/twins//":               {true, true, true, true},
		"h/twins/a":               {false, true, true, false},
		"h/twins/a/b":             {false, false, true, false},
		"h/twins/a%2Fb":           {false, false, true, false},
		"h/twins/a/b/c":           {},
		"h/twin":                  {},
		"h/Twins":                 {},
		"h/twins/b":               {},
		"h//twins":                {},
		"h/a":                     {},
		"h%2Ftwins%2Fa":           {false, true, true, false},
		"h%252Ftwins%252Fa":       {false, true, true, false},
		"h/twins/a%252Fb":         {false, false, false, true},
		"h%2Ftwins%2Fa%252Fb":     {false, false, false, true},
		"h%252Ftwins%252Fa%252Fb": {false, false, true, false},
	} {
		t.Run(sr, func(t *testing.T) {
			for i, path := range [][]string{{"twins"}, {"twins", "a"}, {"twins", "a", "b"}, {"twins", "a%2Fb"}} {
				if got := (Token{Resource: sr}).CoversPath(path); got != want[i] {
					t.Errorf("CoversPath(%q) = %v, want %v", path, got, want[i])
				}
			}
		})
	}
}
