package query

import "testing"

// A name may have in it what ends one in a query. Its path is another one than that
// of the names which it looks like, and has another index.
func TestPathsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	c := indexedFleet(4)
	for key, tags := range map[string]string{"d1": `{"b-b":{"c-c":1}}`, "d2": `{"b-b]].[[c-c":1}`} {
		if err := c.Set(key, 0, []byte(`{"deviceId":"`+key+`","tags":`+tags+`}`)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := selected(t, c, "tags['b-b]].[[c-c'] = 1"); len(got) != 1 || got[0] != "d2" {
			t.Errorf("the odd name selects %q, want d2", got)
		}
		if got := selected(t, c, "tags.[[b-b]].[[c-c]] = 1"); len(got) != 1 || got[0] != "d1" {
			t.Errorf("the two names select %q, want d1", got)
		}
	}
}

// A path is written so that it is read as the same path.
func TestPathsAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"tags.a", "tags.[[a-b]].[[in]]", "tags.list[2].x", "[[odd one]].a", `tags['a]'].b`, `tags['x]].[[y']`, `tags['']`, `tags['it\'s \\ ]]']`,
	} {
		q, err := Parse("SELECT * FROM devices WHERE IS_DEFINED(" + text + ")")
		if err != nil {
			t.Fatal(err)
		}
		if got := q.s.where.kids[0].path.String(); got != text {
			t.Errorf("%s is written %s", text, got)
		}
	}
}
