package rest

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
)

// journal is a log in memory.
type journal struct {
	more chan struct{} // a line each
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer func() { j.more <- struct{}{} }()
	return j.text.Write(b)
}

// await waits for n lines: they are written behind the answers.
func (j *journal) await(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-j.more:
		case <-time.After(30 * time.Second):
			t.Fatal("a line of the log is missing")
		}
	}
}

// lines are what was logged at a level.
func (j *journal) lines(t *testing.T, level string) (all []map[string]any) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if fields["level"] == level {
			all = append(all, fields)
		}
	}
	return all
}

// TestLog: each request at debug, refusals at info as far as that is not too
// much, and nothing of what a request holds.
func TestLog(t *testing.T) {
	s, web := newTestServer(t)
	j := &journal{more: make(chan struct{}, 100)}
	s.Log = zerolog.New(j)
	res, _ := do(t, s, web, "GET", "/devices/d"+version, "")
	j.await(t, 1)
	lines := j.lines(t, "debug")
	if len(lines) != 1 {
		t.Fatalf("%d lines at debug", len(lines))
	}
	for key, want := range map[string]any{
		"verb": "GET", "route": "/devices/{id}", "device_id": "d", "by": "policy iothubowner", "status": 200.0,
		"request": strings.ReplaceAll(res.Header.Get("x-ms-request-id"), "-", ""),
	} {
		if lines[0][key] != want {
			t.Errorf("%s is %v, want %v", key, lines[0][key], want)
		}
	}
	for range 50 {
		do(t, s, web, "GET", "/devices/d"+version, "", "Authorization", "SharedAccessSignature sr=s3cret&sig=s3cret&se=1&skn=s3cret")
	}
	j.await(t, 50)
	refused := j.lines(t, "info")
	if len(refused) < linesAtOnce || len(refused) > linesAtOnce+linesPerSecond*10 {
		t.Errorf("%d lines about 50 refusals", len(refused))
	}
	if l := refused[0]; l["code"] != float64(hub.AccessDenied) || l["reason"] == "" || l["cause"] == nil {
		t.Errorf("refused is %v", l)
	}
	if text := j.text.String(); strings.Contains(text, "s3cret") || strings.Contains(text, "sig=") {
		t.Errorf("the log has a token: %.300s", text)
	}
	// Whoever counts bad credentials tells of them himself.
	s.Peers = &offenders{}
	before := len(j.lines(t, "info"))
	do(t, s, web, "GET", "/devices/d"+version, "", "Authorization", "")
	j.await(t, 1)
	if got := len(j.lines(t, "info")); got != before {
		t.Error("it was told twice")
	}
}
