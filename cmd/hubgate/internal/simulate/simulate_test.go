package simulate

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h histogram
	if q := h.tally().quantiles(); q != (Quantiles{}) {
		t.Errorf("of nothing: %+v", q)
	}
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	before := h.tally()
	for share, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		got := before.percentile(share)
		if got < want || got > want+want/8 {
			t.Errorf("percentile %v is %v, want %v or a little more", share, got, want)
		}
	}
	h.add(40 * time.Hour)
	later := h.tally().since(before)
	if later.total() != 1 || later.percentile(0.5) < 19*time.Hour {
		t.Errorf("since then: %d, %v", later.total(), later.percentile(0.5))
	}
	for _, d := range []time.Duration{-time.Second, 0, 15 * time.Microsecond, 16 * time.Microsecond, 17 * time.Microsecond, time.Minute} {
		if i := bucketOf(d); upper(i) <= d || i > 0 && upper(i-1) > max(d, 0) {
			t.Errorf("%v is in bucket %d, which ends at %v", d, i, upper(i))
		}
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	l := ledger{next: 200}
	for _, n := range []uint32{0, 63, 64, 199} {
		l.acked.set(n)
	}
	for _, n := range []uint32{0, 64, 64, 130, 5000} {
		l.store(n)
	}
	if got := l.lost(); !slices.Equal(got, []uint32{63, 199}) {
		t.Errorf("lost %d", got)
	}
	if l.twice != 1 || l.stored.count(l.next) != 3 {
		t.Errorf("%d twice, %d stored", l.twice, l.stored.count(l.next))
	}
}

// Tokens and user names are such that a hub takes them.
func TestShapes(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	id := hub.Identity{Device: "sim-000001"}
	if got := len(shapesOf(Mixed)); got != 3 {
		t.Errorf("%d shapes are mixed", got)
	}
	for _, sdk := range []SDK{Node, Python, C} {
		s := shapesOf(sdk)[0]
		if s.sdk != sdk {
			t.Errorf("%s is %s", sdk, s.sdk)
		}
		token, err := sas.Parse(s.token("hub.example.com", id, key, time.Now().Add(time.Hour)))
		if err != nil || !token.SignedBy(key) {
			t.Errorf("%s: the token is not good: %v", sdk, err)
		}
		if got := s.userName("hub.example.com", id.Device); !strings.HasPrefix(got, "hub.example.com/sim-000001/?api-version=20") || !strings.Contains(got, "&DeviceClientType=") {
			t.Errorf("%s: the user name is %s", sdk, got)
		}
		if !strings.Contains(s.bag("run.0.1"), "%24.mid=run.0.1&") {
			t.Errorf("%s: the properties are %s", sdk, s.bag("run.0.1"))
		}
		if got := s.renewal(time.Hour); got < 30*time.Minute || got >= time.Hour {
			t.Errorf("%s: a token of an hour is replaced after %v", sdk, got)
		}
		if got := s.renewal(time.Minute); got < 20*time.Second || got >= time.Minute {
			t.Errorf("%s: a token of a minute is replaced after %v", sdk, got)
		}
	}
}

// Pauses grow, have jitter where the SDK has it, and end at its most.
func TestPauses(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for name, test := range map[string]struct {
		s           *shape
		code        byte
		first, last [2]time.Duration // least and most
	}{
		"node":           {nodeShape(), 0, [2]time.Duration{75e6, 100e6}, [2]time.Duration{1e9, 10e9}},
		"node throttled": {nodeShape(), 3, [2]time.Duration{8e9, 10e9}, [2]time.Duration{60e9, 60e9}},
		"python":         {pythonShape(), 0, [2]time.Duration{10e9, 10e9}, [2]time.Duration{10e9, 10e9}},
		"c":              {cShape(), 0, [2]time.Duration{1e9, 1.05e9}, [2]time.Duration{30e9, 31.5e9}},
	} {
		for range 100 {
			for n, want := range map[int][2]time.Duration{2: test.first, 1000: test.last} {
				if got := test.s.pause(n, test.code, r); got < want[0]-time.Duration(n/1000)*9e8 || got > want[1] {
					t.Errorf("%s: before try %d it waits %v, want %v to %v", name, n, got, want[0], want[1])
				}
			}
		}
	}
	seen := map[time.Duration]bool{}
	for range 20 {
		seen[nodePause(5, 0, r)] = true
	}
	if len(seen) < 10 {
		t.Errorf("node has no jitter: %v", seen)
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"dial: refused, nobody listens":               &stepError{dialling, syscall.ECONNREFUSED},
		"TLS handshake: reset by the hub":             &stepError{securing, syscall.ECONNRESET},
		"connection: closed by the hub":               &stepError{talking, io.EOF},
		"CONNECT: CONNACK 5":                          &stepError{greeting, refusal{5}},
		"dial: no free local port":                    &stepError{dialling, syscall.EADDRNOTAVAIL},
		"connection: other":                           &stepError{talking, errors.New("x")},
		"a twin request was refused":                  fmt.Errorf("%w: status 429", twinRefused),
		"no PUBACK within a minute":                   &stepError{talking, noPuback},
		"connection: timed out":                       &stepError{talking, syscall.ETIMEDOUT},
		"TLS handshake: too many open files":          &stepError{securing, syscall.EMFILE},
		"WebSocket upgrade: closed by the hub":        &stepError{upgrading, fmt.Errorf("read: %w", io.ErrUnexpectedEOF)},
		"a packet that no hub sends":                  &stepError{talking, fmt.Errorf("%w: CONNECT", strayPacket)},
		"a subscription was refused":                  &stepError{talking, refusedTopic},
		"a PUBACK out of order":                       &stepError{talking, strayPuback},
		"no PINGRESP within half a minute":            &stepError{talking, noPingresp},
		"no answer to a twin request within a minute": &stepError{talking, noAnswer},
	} {
		if got := reasonOf(err); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}

func TestFaultsAreCounted(t *testing.T) {
	t.Parallel()
	var s stats
	s.fault("a", noPuback)
	s.fault("b", noPuback)
	s.fault("c", lostSession)
	all, total := s.errors()
	if total != 3 || len(all) != 2 || all[0] != (Fault{string(noPuback), 2, "a: " + string(noPuback)}) {
		t.Errorf("got %d, %+v", total, all)
	}
}

func TestThresholds(t *testing.T) {
	t.Parallel()
	good := func() Report {
		return Report{Devices: 10, Connected: 9, Errors: 2, Faults: []Fault{{"x", 2, "a: x"}}, Puback: Quantiles{Count: 100, P99: 50}, Verified: &Proof{Acked: 100, Stored: 100}}
	}
	p99, two, nine, none := 50*time.Millisecond, int64(2), int64(9), int64(0)
	all := Thresholds{P99: &p99, Errors: &two, Connected: &nine, Lost: &none}
	for name, test := range map[string]struct {
		t      Thresholds
		change func(*Report)
		want   string // empty: passes
	}{
		"kept":          {all, func(*Report) {}, ""},
		"p99":           {all, func(r *Report) { r.Puback.P99 = 50.1 }, "--max-p99 is 50ms, and the p99 to PUBACK was 50.1 ms"},
		"no p99":        {all, func(r *Report) { r.Puback = Quantiles{} }, "no message was acknowledged"},
		"errors":        {all, func(r *Report) { r.Errors = 3 }, "--max-errors is 2, and there were 3"},
		"connected":     {all, func(r *Report) { r.Connected = 8 }, "--min-connected is 9, and 8 of 10"},
		"lost":          {all, func(r *Report) { r.Verified.Lost, r.Verified.Examples = 1, []string{"one"} }, "1 messages that were acknowledged are in no stream: one"},
		"unverified":    {all, func(r *Report) { r.Verified, r.Unverified = nil, "why" }, "could not be verified that nothing was lost: why"},
		"not asked for": {Thresholds{}, func(r *Report) { r.Verified, r.Errors, r.Connected = nil, 100, 0 }, ""},
		"lost unasked":  {Thresholds{}, func(r *Report) { r.Verified.Lost, r.Verified.Examples = 1, []string{"one"} }, "--max-lost is 0"},
	} {
		r := good()
		test.change(&r)
		got := test.t.Check(&r)
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][3]string{ // how many, the first, the last
		"127.0.0.9":    {"1", "127.0.0.9", "127.0.0.9"},
		"127.0.0.0/24": {"254", "127.0.0.1", "127.0.0.254"},
		"127.0.0.7/30": {"2", "127.0.0.5", "127.0.0.6"},
		"127.0.0.0/8":  {"4096", "127.0.0.1", "127.0.16.0"},
		"::1/128":      {"1", "::1", "::1"},
	} {
		got, err := parseSource(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if is := [3]string{fmt.Sprint(len(got)), got[0].String(), got[len(got)-1].String()}; is != want {
			t.Errorf("%s: got %q, want %q", text, is, want)
		}
	}
}

// A fleet with the same seed has the same bodies and ids of messages to itself.
func TestMessages(t *testing.T) {
	t.Parallel()
	cfg := Config{Devices: 2, First: 1, Prefix: "sim-", Size: MinSize, Seed: 1}
	accounts := []Account{{ID: "sim-000001"}, {ID: "sim-000002"}}
	f, other := NewFleet(cfg, &Target{}, accounts), NewFleet(cfg, &Target{}, accounts)
	for _, n := range []uint32{0, 7, 1<<32 - 1} {
		if body := f.body(n); len(body) != MinSize || body[len(body)-1] != '}' {
			t.Errorf("body %d: %d bytes, %s", n, len(body), body)
		}
		id := f.messageID(1, n)
		if i, got, ok := f.parseID(id); !ok || i != 1 || got != n {
			t.Errorf("%s is message %d of device %d, %v", id, got, i, ok)
		}
		if _, _, ok := other.parseID(id); ok {
			t.Errorf("%s is of another run too", id)
		}
	}
	for _, id := range []string{"", f.run, f.run + ".", f.run + ".2.1", f.run + ".-1.1", f.run + ".1.", f.run + ".1.4294967296"} {
		if i, n, ok := f.parseID(id); ok {
			t.Errorf("%q is message %d of device %d", id, n, i)
		}
	}
	if got := cfg.IDs(); !slices.Equal(got, []string{"sim-000001", "sim-000002"}) {
		t.Errorf("got %q", got)
	}
}

// What has another maker is not used.
func TestAccounts(t *testing.T) {
	t.Parallel()
	r := identity.Record{ID: hub.Identity{Device: "d"}, StatusReason: Mark}
	r.Authentication = identity.Authentication{Type: identity.AuthSAS, SymmetricKey: identity.SymmetricKey{PrimaryKey: hub.NewKey(), SecondaryKey: hub.NewKey()}}
	if a, err := accountOf(&r); err != nil || a.ID != "d" || len(a.Key) == 0 {
		t.Errorf("got %+v, %v", a, err)
	}
	r.Authentication.Type = identity.AuthCA
	if _, err := accountOf(&r); hub.CodeOf(err) != hub.DeviceAlreadyExists {
		t.Errorf("without a key: %v", err)
	}
	r.StatusReason = "mine"
	if _, err := accountOf(&r); hub.CodeOf(err) != hub.DeviceAlreadyExists {
		t.Errorf("of another: %v", err)
	}
}

// The mean of a day is the rate asked for.
func TestDiurnal(t *testing.T) {
	t.Parallel()
	c := Config{Profile: Diurnal, Rate: 2, Period: time.Minute}
	if got := c.interval(); got != 250*time.Millisecond {
		t.Errorf("the interval is %v", got)
	}
	sum := 0.0
	for s := range 60 {
		sum += c.chance(time.Duration(s) * time.Second)
	}
	if mean := sum / 60; mean < 0.49 || mean > 0.51 {
		t.Errorf("the mean chance is %v", mean)
	}
	if c.chance(0) != 0 || c.chance(30*time.Second) != 1 {
		t.Errorf("at night %v, at noon %v", c.chance(0), c.chance(30*time.Second))
	}
	if got := (Config{Profile: Steady, Rate: 0}).interval(); got != 0 {
		t.Errorf("without a rate: %v", got)
	}
}
