package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hubgate/hubgate/test/hubtest"
)

// exchange is a request and what has to answer it, as in testdata/calls.yaml, from
// which docs/http-api.md is made too.
type exchange struct {
	First   string            `yaml:"first"`   // what happens before: a step of [player.step] and its argument
	Call    string            `yaml:"call"`    // verb and path, with a query where there is more than the version
	As      string            `yaml:"as"`      // policy, "nobody" or "forger"; empty: iothubowner
	Headers map[string]string `yaml:"headers"` // beside those of every request
	Body    any               `yaml:"body"`    // JSON
	Text    string            `yaml:"text"`    // a body that is no JSON
	Size    int               `yaml:"size"`    // a body of so many zeros
	Version string            `yaml:"version"` // of the API; "none": none
	Want    string            `yaml:"want"`    // status, and the name of the error
	Has     []string          `yaml:"has"`     // what stands in the body
	Until   string            `yaml:"until"`   // ask until this stands in the body
	Save    map[string]string `yaml:"save"`    // members of the body, or headers, that later calls have as ${name}
}

func readCalls(t *testing.T) []*exchange {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "calls.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var calls []*exchange
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&calls); err != nil {
		t.Fatal(err)
	}
	return calls
}

// player makes calls.
type player struct {
	contract *contract
	hub      *hubtest.Gateway
	web      *http.Client
	keys     map[string][]byte // of policies
	devices  map[string]*device
	saved    map[string]string // by ${name}
	called   map[string]bool
	seen     map[string]bool // operations with errors
}

// play makes one call, until the answer is what is waited for, and looks at it.
func (p *player) play(t *testing.T, c *exchange) {
	t.Helper()
	p.fill(c)
	p.step(t, c.First)
	limit := time.NewTimer(hubtest.Patience)
	defer limit.Stop()
	for again := time.NewTicker(50 * time.Millisecond); ; {
		answer := p.ask(t, c)
		body := readAll(t, answer)
		if strings.Contains(string(body), c.Until) {
			p.judge(t, c, answer, body)
			return
		}
		select {
		case <-again.C:
		case <-limit.C:
			t.Errorf("%s: %s, which still has no %s: %s", c.Call, answer.Status, c.Until, body)
			return
		}
	}
}

// judge looks at an answer: it must be what was wanted, valid by the document,
// and an error that the document names.
func (p *player) judge(t *testing.T, c *exchange, answer *http.Response, body []byte) {
	t.Helper()
	want, name, _ := strings.Cut(c.Want, " ")
	if got := answer.Header.Get("Iothub-Errorcode"); strconv.Itoa(answer.StatusCode) != want || got != name {
		t.Errorf("%s (%s): %s %s, want %s: %s", c.Call, c.First, answer.Status, got, c.Want, body)
		return
	}
	for _, part := range c.Has {
		if !strings.Contains(string(body), part) {
			t.Errorf("%s: the answer has no %s: %s", c.Call, part, body)
		}
	}
	p.valid(t, c, answer, body)
	for name, from := range c.Save {
		p.saved["${"+name+"}"] = saved(t, from, answer.Header, body)
	}
}

// valid holds an exchange against the document. A request that is refused may
// be wrong by it.
func (p *player) valid(t *testing.T, c *exchange, answer *http.Response, body []byte) {
	t.Helper()
	op := p.operation(answer.Request)
	if op == nil {
		if answer.StatusCode != http.StatusNotFound && answer.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s is in no operation of the document", c.Call, answer.Request.URL.Path)
		}
		return
	}
	name := answer.Header.Get("Iothub-Errorcode")
	p.called[op.name] = true
	p.seen[op.name+" "+name] = true
	if name != "" && !slices.Contains(op.errors, name) && !slices.Contains(p.contract.common, name) {
		t.Errorf("%s: the document says nothing of %s", c.Call, name)
	}
	for header := range answer.Header {
		if !p.contract.headers[header] && !slices.Contains([]string{"Content-Type", "Content-Length", "Connection", "Date", "Vary"}, header) {
			t.Errorf("%s: the document says nothing of the header %s", c.Call, header)
		}
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if _, wrong := p.contract.check.ValidateHttpResponse(answer.Request, answer); len(wrong) > 0 {
		t.Errorf("%s: the answer is not valid: %v\n%s", c.Call, reasons(wrong), body)
	}
	if answer.StatusCode >= http.StatusBadRequest {
		return
	}
	request := p.request(t, c)
	if _, wrong := p.contract.check.ValidateHttpRequestSync(request); len(wrong) > 0 {
		t.Errorf("%s: the request is not valid: %v", c.Call, reasons(wrong))
	}
}

// operation finds the operation of a request: of those whose path fits the one
// with the fewest parameters.
func (p *player) operation(r *http.Request) *operation {
	var best *operation
	got := strings.Split(r.URL.EscapedPath(), "/")
	for line, op := range p.contract.operations {
		verb, path, _ := strings.Cut(line, " ")
		want := strings.Split(path, "/")
		fits := verb == r.Method && len(want) == len(got)
		for i := range want {
			fits = fits && (strings.HasPrefix(want[i], "{") || want[i] == got[i])
		}
		if fits && (best == nil || strings.Count(path, "{") < strings.Count(best.path, "{")) {
			best = op
		}
	}
	return best
}

// ask sends the request of a call.
func (p *player) ask(t *testing.T, c *exchange) *http.Response {
	t.Helper()
	answer, err := p.web.Do(p.request(t, c))
	if err != nil {
		t.Fatalf("%s: %v", c.Call, err)
	}
	return answer
}

// request makes the request of a call.
func (p *player) request(t *testing.T, c *exchange) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hubtest.Patience)
	t.Cleanup(cancel)
	verb, to, _ := strings.Cut(c.Call, " ")
	if c.Version != "none" {
		to += map[bool]string{true: "&", false: "?"}[strings.Contains(to, "?")] + "api-version=" + c.Version
	}
	var body io.Reader
	kind := ""
	if c.Text != "" {
		body = strings.NewReader(c.Text)
	}
	if c.Size > 0 {
		body, kind = strings.NewReader(strings.Repeat("0", c.Size)), "application/json"
	}
	if c.Body != nil {
		text, err := json.Marshal(c.Body)
		if err != nil {
			t.Fatal(err)
		}
		body, kind = strings.NewReader(p.replace(string(text))), "application/json; charset=utf-8"
	}
	r, err := http.NewRequestWithContext(ctx, verb, "https://"+p.address()+to, body)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if token := p.token(t, c.As); token != "" {
		r.Header.Set("Authorization", token)
	}
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	return r
}

// fill puts what was saved into a call, and what it leaves out.
func (p *player) fill(c *exchange) {
	c.Call = p.replace(c.Call)
	for name, value := range c.Headers {
		c.Headers[name] = p.replace(value)
	}
	if c.Version == "" {
		c.Version = "2021-04-12"
	}
	if c.As == "" {
		c.As = "iothubowner"
	}
}

func (p *player) replace(s string) string {
	for name, value := range p.saved {
		s = strings.ReplaceAll(s, name, value)
	}
	return s
}

// saved takes a member of a body, or "header" and the name of one, without
// quotes.
func saved(t *testing.T, from string, h http.Header, body []byte) string {
	t.Helper()
	if name, ok := strings.CutPrefix(from, "header "); ok {
		return strings.Trim(h.Get(name), `"`)
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatal(err)
	}
	value, ok := members[from].(string)
	if !ok {
		t.Fatalf("there is no text %s in %s", from, body)
	}
	return value
}

func readAll(t *testing.T, answer *http.Response) []byte {
	t.Helper()
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s: %v", answer.Request.URL, err)
	}
	return body
}
