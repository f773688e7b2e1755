package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/twin"
)

// counters is what the writers of a race count in a twin.
type counters struct {
	ETag       string
	Tags       map[string]int
	Properties struct {
		Desired  map[string]json.RawMessage
		Reported map[string]json.RawMessage
	}
}

// TestETagRace has clients count in one number, each by what it has read and
// with If-Match; others patch and replace by NATS and as a digital twin, and the
// device reports all the while. No update is lost: the number is how often
// somebody was told that it was counted.
func TestETagRace(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	id := hub.Identity{Device: "dev1"}
	if res, body := h.ask(t, "PATCH", "/twins/dev1", `{"tags":{"n":0}}`); res.StatusCode != 200 {
		t.Fatal(body)
	}
	const clients, rounds, others = 4, 15, 20
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range rounds {
				h.count(t)
			}
		})
	}
	wg.Go(func() {
		for i := range others {
			body := fmt.Sprintf(`{"properties":{"desired":{"nats%d":%d}}}`, i, i)
			if _, err := h.client.Twins().Update(t.Context(), id, twin.Write{Body: []byte(body)}); err != nil {
				t.Errorf("by NATS: %v", err)
			}
		}
	})
	wg.Go(func() {
		for i := range others {
			if res, body := h.ask(t, "PATCH", "/digitaltwins/dev1", fmt.Sprintf(`[{"op":"add","path":"/digital%d","value":%d}]`, i, i)); res.StatusCode != 202 {
				t.Errorf("as a digital twin: %d %s", res.StatusCode, body)
			}
		}
	})
	wg.Go(func() {
		for i := range others {
			if _, err := h.Twins.PatchReported(t.Context(), id, fmt.Appendf(nil, `{"r%d":%d}`, i, i), 0); err != nil {
				t.Errorf("the device: %v", err)
			}
		}
	})
	wg.Wait()
	var got counters
	_, body := h.ask(t, "GET", "/twins/dev1", "")
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tags["n"] != clients*rounds {
		t.Errorf("%d is counted, want %d", got.Tags["n"], clients*rounds)
	}
	for i := range others {
		for section, name := range map[*map[string]json.RawMessage]string{&got.Properties.Desired: "nats", &got.Properties.Reported: "r"} {
			if v := (*section)[fmt.Sprint(name, i)]; string(v) != fmt.Sprint(i) {
				t.Errorf("%s%d is lost: %s", name, i, v)
			}
		}
		if v := got.Properties.Desired[fmt.Sprint("digital", i)]; string(v) != fmt.Sprint(i) {
			t.Errorf("digital%d is lost: %s", i, v)
		}
	}
}

// count adds one to what it has read, again until nobody was faster.
func (h *testHub) count(t *testing.T) {
	for {
		var c counters
		_, body := h.ask(t, "GET", "/twins/dev1", "")
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Errorf("%v: %s", err, body)
			return
		}
		res, body := h.ask(t, "PATCH", "/twins/dev1", fmt.Sprintf(`{"tags":{"n":%d}}`, c.Tags["n"]+1), "If-Match", `"`+c.ETag+`"`)
		switch {
		case res.StatusCode == http.StatusOK:
			return
		case res.StatusCode != http.StatusPreconditionFailed || !strings.Contains(body, "ETag mismatch"):
			t.Errorf("%d %s", res.StatusCode, body)
			return
		}
	}
}
