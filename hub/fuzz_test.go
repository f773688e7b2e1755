package hub

import (
	"strings"
	"testing"
)

func FuzzParseIdentity(f *testing.F) {
	for _, s := range []string{"d", "d/m", "/", "d/", "d/m/x", "-:.+%_#*?!(),=@;$'", "é", "a\x00", "--help"} {
		f.Add(s)
	}
	f.Add(strings.Repeat("\U0010FFFF", 260))
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentity(s)
		if err != nil {
			if CodeOf(err) != ArgumentInvalid || len(err.Error()) > 2000 {
				t.Errorf("code %d and %d bytes of error", CodeOf(err), len(err.Error()))
			}
			return
		}
		if id.String() != s || len(s) > 2*MaxIDLength+1 {
			t.Errorf("ParseIdentity(%q).String() = %q", s, id)
		}
	})
}
