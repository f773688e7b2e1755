package attack

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// ask is a query, as a body.
func ask(text string) string {
	b, _ := json.Marshal(map[string]string{"query": text})
	return string(b)
}

const queries = "/devices/query" + version

// TestRESTQueries sends what is no query, and what takes a parser or an
// evaluator long: an error that names the place, in short time, without much
// memory.
func TestRESTQueries(t *testing.T) {
	t.Parallel()
	g := start(t)
	for i := range 20 {
		g.create(t, "victim-"+strconv.Itoa(i))
	}
	n := innocent(t, g)
	o := g.operator(t, "service")
	const from = "SELECT * FROM devices WHERE "
	list := strings.TrimSuffix(strings.Repeat("'victim-1',", 700), ",")
	for name, c := range map[string]struct {
		text string
		good bool // may be answered
	}{
		"nothing":                       {"", false},
		"spaces":                        {"   ", false},
		"a word":                        {"SELECT", false},
		"another statement":             {"DELETE FROM devices", false},
		"a second statement":            {"SELECT * FROM devices; DROP TABLE devices", false},
		"a comment":                     {"SELECT * FROM devices -- WHERE", false},
		"a union":                       {"SELECT * FROM devices UNION SELECT * FROM hub_policies", false},
		"a join":                        {"SELECT * FROM devices JOIN modules", false},
		"a sub-query":                   {from + "deviceId IN (SELECT deviceId FROM devices)", false},
		"an order":                      {"SELECT * FROM devices ORDER BY deviceId", false},
		"another source":                {"SELECT * FROM hub_policies", false},
		"a source with a path":          {"SELECT * FROM devices..policies", false},
		"classic injection":             {from + "deviceId = '' OR '1'='1", false},
		"a string without an end":       {from + "deviceId = 'x", false},
		"a bad escape":                  {from + `deviceId = '\q'`, false},
		"half a surrogate":              {from + `deviceId = '\ud800'`, true},
		"NUL":                           {from + "deviceId = '\x00'", true},
		"NUL outside of strings":        {"SELECT * FROM devices\x00", false},
		"emoji as a name":               {"SELECT * FROM devices WHERE \U0001F600 = 1", false},
		"full width quotes":             {from + "deviceId = ＇x＇", false},
		"9000 characters":               {from + "deviceId = '" + strings.Repeat("x", 9000) + "'", false},
		"deep parentheses":              {from + strings.Repeat("(", 4000) + "1=1" + strings.Repeat(")", 4000), false},
		"deep parentheses, open":        {from + strings.Repeat("(", 8000), false},
		"deep NOT":                      {from + strings.Repeat("NOT ", 2000) + "true", true},
		"deep minus":                    {from + strings.Repeat("- ", 4000) + "1 = 1", true},
		"deep brackets":                 {from + "x = " + strings.Repeat("[", 4000) + strings.Repeat("]", 4000), false},
		"deep functions":                {from + strings.Repeat("ABS(", 1500) + "1" + strings.Repeat(")", 1500) + " = 1", true},
		"a deep path":                   {from + "tags" + strings.Repeat(".a", 4000) + " = 1", true},
		"a deep path with indexes":      {from + "tags" + strings.Repeat("[0]", 2500) + " = 1", true},
		"many ORs":                      {from + strings.TrimSuffix(strings.Repeat("1=2 OR ", 1100), " OR "), true},
		"many ANDs and ORs":             {from + strings.TrimSuffix(strings.Repeat("1=1 AND 2=2 OR ", 500), " OR "), true},
		"a long IN":                     {from + "deviceId IN [" + list + "]", true},
		"a long IN that does not end":   {from + "deviceId IN [" + list, false},
		"an IN of nothing":              {from + "deviceId IN []", true},
		"many columns":                  {"SELECT " + strings.TrimSuffix(strings.Repeat("deviceId,", 800), ",") + " FROM devices", true},
		"many aliases":                  {"SELECT " + strings.TrimSuffix(strings.Repeat("tags AS a,", 700), ",") + " FROM devices", true},
		"many groups":                   {"SELECT COUNT() AS n FROM devices GROUP BY " + strings.TrimSuffix(strings.Repeat("tags.a,", 1000), ","), true},
		"an aggregate of an aggregate":  {"SELECT COUNT(SUM(version)) FROM devices", false},
		"an aggregate in a condition":   {from + "COUNT() > 1", false},
		"a number beyond double":        {from + "version < 1e999999", true},
		"a long number":                 {from + "version < " + strings.Repeat("9", 7000), true},
		"a long hexadecimal number":     {from + "version < 0x" + strings.Repeat("F", 7000), true},
		"a division by zero":            {from + "version / 0 = 1 OR version % 0 = 1", true},
		"TOP of minus one":              {"SELECT TOP -1 * FROM devices", false},
		"TOP of too much":               {"SELECT TOP 99999999999999999999 * FROM devices", false},
		"a name in brackets, open":      {from + "tags.[[a = 1", false},
		"a name of brackets":            {from + "tags." + strings.Repeat("[[", 2000) + strings.Repeat("]]", 2000) + " = 1", false},
		"a prototype":                   {from + "tags.__proto__.x = 1 OR tags.constructor = 1", true},
		"a regular expression":          {from + "deviceId LIKE '(a+)+$'", false},
		"concatenations that double":    {from + strings.Repeat("CONCAT(", 500) + "'x'" + strings.Repeat(",'xxxxxxx')", 500) + " = 'x'", true},
		"a function that there is not":  {from + "SLEEP(10)", false},
		"a function with too many args": {from + "STARTSWITH(" + strings.TrimSuffix(strings.Repeat("deviceId,", 500), ",") + ")", false},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			a := o.do(t, "POST", queries, ask(c.text))
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if c.good && a.status == 200 {
				return
			}
			a.refused(t, hub.ArgumentInvalid, hub.ArgumentNull)
		})
	}
	bombs(t, g)
	n.finish(t)
}

// bombs are 200 of the longest that parse, at once.
func bombs(t *testing.T, g *target) {
	t.Helper()
	before := g.Memory(t)
	text := ask("SELECT * FROM devices WHERE " + strings.TrimSuffix(strings.Repeat("(tags.a = 1 OR STARTSWITH(deviceId, 'v')) AND ", 150), " AND "))
	done := make(chan error)
	const at, each = 8, 25
	for range at {
		o := g.operator(t, "service")
		go func() {
			var err error
			for range each {
				var a answer
				if a, err = o.try(t.Context(), "POST", queries, text); err != nil {
					break
				}
				if a.status != 200 && a.status != hub.Throttled.Status() {
					err = fmt.Errorf("%d: %.200q", a.status, a.body)
					break
				}
			}
			done <- err
		}()
	}
	for range at {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if after := g.Memory(t); after > before+100<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, after>>20)
	}
}

// TestRESTContinuations forges tokens of pages: cut, changed, of another query or
// another hub, too long, and none at all.
func TestRESTContinuations(t *testing.T) {
	t.Parallel()
	g, foreign := start(t), start(t)
	const text = "SELECT * FROM devices"
	page := func(g *target) (o *operator, token string) {
		t.Helper()
		for i := range 5 {
			g.create(t, "victim-"+strconv.Itoa(i))
		}
		o = g.operator(t, "service")
		g.await(t, "page", func() bool {
			token = o.do(t, "POST", queries, ask(text), "x-ms-max-item-count", "2").header.Get("x-ms-continuation")
			return token != ""
		})
		return o, token
	}
	o, token := page(g)
	_, others := page(foreign)
	n := innocent(t, g)
	o.do(t, "POST", queries, ask(text), "x-ms-continuation", token).ok(t, 200)
	forged := map[string]string{
		"a word": "next", "a number": "2", "JSON": `{"offset":0}`, "base64 of JSON": base64.StdEncoding.EncodeToString([]byte(`{"key":"victim-1"}`)),
		"zeros": base64.RawURLEncoding.EncodeToString(make([]byte, 64)), "twice": token + token, "with something behind": token + "A", "with something before": "A" + token,
		"20,000 bytes": strings.Repeat("A", 20_000), "bytes above ASCII": "\xff\xfe", "a path": "../../victim-1", "upper case": strings.ToUpper(token), "lower case": strings.ToLower(token),
		"of another hub": others,
	}
	for i := 1; i < len(token); i += max(1, len(token)/12) {
		forged["cut at "+strconv.Itoa(i)] = token[:i]
		flipped := []byte(token)
		if flipped[i]++; flipped[i] == 'Z'+1 || flipped[i] == 'z'+1 || flipped[i] == '9'+1 {
			flipped[i] = 'A'
		}
		forged["changed at "+strconv.Itoa(i)] = string(flipped)
	}
	for name, bad := range forged {
		t.Run(name, func(t *testing.T) {
			a := o.do(t, "POST", queries, ask(text), "x-ms-continuation", bad)
			if name == "of another hub" && a.status == 200 || bad == token {
				return // a place in an order that all hubs have: it opens nothing
			}
			a.refused(t, hub.ArgumentInvalid)
		})
	}
	for name, other := range map[string]string{
		"another query": "SELECT deviceId FROM devices", "another source": "SELECT * FROM devices.modules", "another condition": text + " WHERE status = 'enabled'",
	} {
		t.Run("of "+name, func(t *testing.T) {
			o.do(t, "POST", queries, ask(other), "x-ms-continuation", token).refused(t, hub.ArgumentInvalid)
		})
	}
	for _, size := range []string{"0", "-1", "1e3", "99999999999999999999", "x", " "} {
		t.Run("a page of "+size, func(t *testing.T) {
			a := o.do(t, "POST", queries, ask(text), "x-ms-max-item-count", size)
			if a.status != 200 || size == "x" {
				a.refused(t, hub.ArgumentInvalid)
			}
		})
	}
	n.finish(t)
}
