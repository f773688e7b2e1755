package attack

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// wire is a request by its bytes, with a good token.
func (o *operator) wire(line, headers, body string) string {
	return line + "\r\nHost: " + o.g.Ready.HostName + "\r\nAuthorization: " + o.token + "\r\n" + headers + "\r\n" + body
}

// exchange sends bytes and returns all answers to them. The first one is read
// before the end of the bytes is told, which would end the request.
func (p *peer) exchange(t *testing.T, text string) []answer {
	t.Helper()
	_ = p.write([]byte(text)) // the gateway may close before it has read all
	_ = p.SetReadDeadline(time.Now().Add(patience))
	var all []answer
	for r := bufio.NewReader(p.Conn); ; {
		got, err := http.ReadResponse(r, nil)
		if err != nil {
			p.nothing(t, err)
			return all
		}
		body, err := io.ReadAll(io.LimitReader(got.Body, 1<<20))
		p.nothing(t, err)
		all = append(all, answer{fmt.Sprintf("%.60q", text), got.StatusCode, got.Header, body})
		if len(all) == 1 {
			if secure, ok := p.Conn.(*tls.Conn); ok {
				_ = secure.CloseWrite()
			}
		}
	}
}

// TestRESTSmuggling hides a second request in what others may take for the first
// one's body, as if a proxy stood before the hub: the hub never carries it out.
// What is no request for package net/http is refused by it, in its own words.
func TestRESTSmuggling(t *testing.T) {
	t.Parallel()
	g := start(t)
	n := innocent(t, g)
	o := g.operator(t, "iothubowner")
	const patch = "PATCH /twins/VICTIM" + version + " HTTP/1.1"
	hidden := o.wire("DELETE /devices/VICTIM"+version+" HTTP/1.1", "If-Match: *\r\n", "")
	length := "Content-Length: " + strconv.Itoa(len(hidden)) + "\r\n"
	chunks := fmt.Sprintf("0\r\n\r\n%s", hidden)
	inChunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)
	const chunked = "Transfer-Encoding: chunked\r\n"
	victims := 0
	for name, c := range map[string]struct{ line, headers, body string }{
		"a length and chunks":                   {patch, "Content-Length: " + strconv.Itoa(len(chunks)) + "\r\n" + chunked, chunks},
		"chunks and a length":                   {patch, chunked + "Content-Length: " + strconv.Itoa(len(chunks)) + "\r\n", chunks},
		"chunks behind a length of nothing":     {patch, "Content-Length: 0\r\n" + chunked, inChunk},
		"chunks that end at once":               {patch, chunked, chunks},
		"two lengths, the first one short":      {patch, "Content-Length: 0\r\n" + length, hidden},
		"two lengths, the second one short":     {patch, length + "Content-Length: 0\r\n", hidden},
		"two lengths in one":                    {patch, "Content-Length: 0, " + strconv.Itoa(len(hidden)) + "\r\n", hidden},
		"a length with a sign":                  {patch, "Content-Length: +0\r\n", hidden},
		"a negative length":                     {patch, "Content-Length: -1\r\n", hidden},
		"a length in hexadecimal":               {patch, "Content-Length: 0x0\r\n", hidden},
		"a length of nothing but space":         {patch, "Content-Length: \r\n", hidden},
		"a length beyond 64 bits":               {patch, "Content-Length: 18446744073709551616\r\n", hidden},
		"a length with a space before it":       {patch, "Content-Length : 0\r\n", hidden},
		"chunks with a space before the colon":  {patch, length + "Transfer-Encoding : chunked\r\n", chunks},
		"chunks behind a tab":                   {patch, length + "Transfer-Encoding:\tchunked\r\n", chunks},
		"chunks behind a vertical tab":          {patch, length + "Transfer-Encoding: \x0bchunked\r\n", chunks},
		"chunks in quotes":                      {patch, length + "Transfer-Encoding: \"chunked\"\r\n", chunks},
		"chunks that are called something else": {patch, length + "Transfer-Encoding: xchunked\r\n", chunks},
		"chunks, and what they are not":         {patch, length + "Transfer-Encoding: chunked, identity\r\n", chunks},
		"chunks twice":                          {patch, length + chunked + chunked, chunks},
		"chunks, compressed":                    {patch, length + "Transfer-Encoding: gzip, chunked\r\n", chunks},
		"chunks on a folded line":               {patch, length + "Transfer-Encoding:\r\n chunked\r\n", chunks},
		"a folded header with a length":         {patch, "X: y\r\n Content-Length: 0\r\n" + length, hidden},
		"a bare CR before a length":             {patch, length + "X: y\rContent-Length: 0\r\n", hidden},
		"a bare LF in the size of a chunk":      {patch, chunked, "0;x\n\r\n" + hidden},
		"an extension without an end":           {patch, chunked, "0;" + strings.Repeat("x", 40_000) + "\r\n\r\n" + hidden},
		"the size of a chunk beyond 64 bits":    {patch, chunked, "10000000000000000\r\n" + hidden},
		"the size of a chunk with a sign":       {patch, chunked, "+0\r\n\r\n" + hidden},
		"the size of a chunk with 0x":           {patch, chunked, "0x0\r\n\r\n" + hidden},
		"a chunk longer than its size":          {patch, chunked, "1\r\n{}" + hidden},
		"a trailer that is a length":            {patch, chunked, "2\r\n{}\r\n0\r\nContent-Length: 0\r\n\r\n" + hidden},
		"chunks of HTTP/1.0":                    {strings.Replace(patch, "1.1", "1.0", 1), length + chunked, chunks},
		"what only wants to be continued":       {patch, length + "Expect: 100-continue\r\n", hidden},
	} {
		t.Run(name, func(t *testing.T) {
			victim := fmt.Sprintf("vic%03d", victims) // as long as the word that it takes the place of
			victims++
			g.create(t, victim)
			text := strings.ReplaceAll(o.wire(c.line, c.headers, c.body), "VICTIM", victim)
			all := dialTLS(t, g, httpsPort).exchange(t, text)
			if len(all) > 2 || len(all) == 2 && name != "what only wants to be continued" && all[1].status < 400 {
				t.Errorf("%d answers: %d, then %d: %.200q", len(all), all[0].status, all[len(all)-1].status, all[len(all)-1].body)
			}
			if victim := g.operator(t, "registryRead").do(t, "GET", "/devices/"+victim+version, ""); victim.status != 200 {
				t.Errorf("the hidden request was carried out: %d %s", victim.status, victim.body)
			}
		})
	}
	n.before = g.snapshot(t) // with the victims, of whom none is missing
	n.finish(t)
}

// TestRESTWire sends requests that are odd and not hidden: each has one answer,
// of IoT Hub's form where it is a request at all, and nothing happens.
func TestRESTWire(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	o := g.operator(t, "iothubowner")
	const get = "GET /devices/victim" + version + " HTTP/1.1"
	noRequest := []hub.Code{0}
	for name, c := range map[string]struct {
		text  string
		codes []hub.Code // none: a good answer; 0: none of IoT Hub's form
	}{
		"an honest one":           {o.wire(get, "", ""), nil},
		"an absolute form":        {o.wire("GET https://other/devices/victim"+version+" HTTP/1.1", "", ""), nil},
		"a body with GET":         {o.wire(get, "Content-Length: 2\r\n", "{}"), nil},
		"CONNECT":                 {o.wire("CONNECT hub:443 HTTP/1.1", "", ""), []hub.Code{hub.NotFound, hub.MethodNotAllowed}},
		"CONNECT to a path":       {o.wire("CONNECT /devices/victim"+version+" HTTP/1.1", "", ""), []hub.Code{hub.NotFound, hub.MethodNotAllowed}},
		"TRACE":                   {o.wire("TRACE /devices/victim"+version+" HTTP/1.1", "", ""), []hub.Code{hub.MethodNotAllowed}},
		"OPTIONS":                 {o.wire("OPTIONS /devices/victim"+version+" HTTP/1.1", "Origin: https://evil.example\r\n", ""), []hub.Code{hub.MethodNotAllowed}},
		"OPTIONS of all":          {o.wire("OPTIONS * HTTP/1.1", "", ""), []hub.Code{hub.NotFound, hub.MethodNotAllowed}},
		"a verb in lower case":    {o.wire("get /devices/victim"+version+" HTTP/1.1", "", ""), []hub.Code{hub.MethodNotAllowed}},
		"a verb of 20,000 bytes":  {o.wire(strings.Repeat("A", 20_000)+" /devices/victim"+version+" HTTP/1.1", "", ""), []hub.Code{hub.MethodNotAllowed}},
		"another verb on top":     {o.wire("POST /devices/victim"+version+" HTTP/1.1", "X-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n", ""), []hub.Code{hub.ArgumentInvalid, hub.MethodNotAllowed}},
		"another verb below GET":  {o.wire(get, "X-HTTP-Method-Override: DELETE\r\n", ""), nil},
		"another expectation":     {o.wire(get, "Expect: 200-ok\r\nContent-Length: 2\r\n", "{}"), noRequest},
		"an upgrade to HTTP/2":    {o.wire(get, "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", ""), nil},
		"an upgrade to a socket":  {o.wire(get, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", ""), nil},
		"the preface of HTTP/2":   {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", []hub.Code{hub.NotFound}},
		"HTTP/3.7":                {o.wire(strings.Replace(get, "1.1", "3.7", 1), "", ""), noRequest},
		"HTTP/0.9":                {"GET /devices/victim\r\n\r\n", noRequest},
		"two hosts":               {o.wire(get, "Host: other\r\n", ""), noRequest},
		"no host":                 {get + "\r\nAuthorization: " + o.token + "\r\n\r\n", noRequest},
		"a host with a line":      {get + "\r\nHost: a\x00b\r\n\r\n", noRequest},
		"NUL in a header":         {o.wire(get, "If-Match: a\x00b\r\n", ""), noRequest},
		"NUL in a name":           {o.wire(get, "If\x00Match: a\r\n", ""), noRequest},
		"no name":                 {o.wire(get, ": a\r\n", ""), noRequest},
		"40,000 bytes of headers": {o.wire(get, "X: "+strings.Repeat("y", 40_000)+"\r\n", ""), noRequest},
		"10,000 headers":          {o.wire(get, strings.Repeat("X: y\r\n", 10_000), ""), noRequest},
		"3000 headers":            {o.wire(get, strings.Repeat("X: y\r\n", 3000), ""), nil},
		"bytes above ASCII":       {o.wire(get, "If-Match: \xff\xfe\r\n", ""), nil},
		"two tokens":              {o.wire(get, "Authorization: x\r\n", ""), nil},
	} {
		t.Run(name, func(t *testing.T) {
			all := dialTLS(t, g, httpsPort).exchange(t, c.text)
			if len(all) != 1 {
				t.Fatalf("%d answers: %+.500v", len(all), all)
			}
			switch {
			case c.codes == nil:
				all[0].ok(t, 200)
			case c.codes[0] == 0:
				if all[0].status < 400 || all[0].status == 500 || len(all[0].body) > 200 {
					t.Errorf("answered by %d: %.200q", all[0].status, all[0].body)
				}
			default:
				all[0].refused(t, c.codes...)
			}
			if all[0].header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("a browser of another origin may read the answer")
			}
		})
	}
	n.finish(t)
}

// TestRESTPipeline sends many requests at once and reads the answers later: they
// come in their order, each by itself. Who never reads them does not keep the
// gateway for long, nor much of it.
func TestRESTPipeline(t *testing.T) {
	t.Parallel()
	g := start(t)
	for i := range 10 {
		g.create(t, "victim-"+strconv.Itoa(i))
	}
	n := innocent(t, g)
	o := g.operator(t, "registryRead")
	var b bytes.Buffer
	const many = 100
	for i := range many {
		b.WriteString(o.wire("GET /devices/victim-"+strconv.Itoa(i%10)+version+" HTTP/1.1", "", ""))
	}
	p := dialTLS(t, g, httpsPort)
	if err := p.write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(p.Conn)
	ids := map[string]bool{}
	for i := range many {
		got, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, _ := io.ReadAll(got.Body)
		ids[got.Header.Get("x-ms-request-id")] = true
		if want := `"deviceId":"victim-` + strconv.Itoa(i%10) + `"`; !bytes.Contains(body, []byte(want)) {
			t.Fatalf("answer %d is %d %.200q, want that of %s", i, got.StatusCode, body, want)
		}
	}
	if len(ids) != many {
		t.Errorf("%d ids of %d requests", len(ids), many)
	}
	before := g.Memory(t)
	const deaf = 20
	var all sync.WaitGroup // at once: what the innocent do fills the streams' caches meanwhile
	for range deaf {
		q := dialTLS(t, g, httpsPort)
		_ = q.SetWriteDeadline(time.Now().Add(2 * time.Second))
		all.Go(func() {
			for range 200 { // until nobody takes any more
				if _, err := q.Write(b.Bytes()); err != nil {
					break
				}
			}
		})
	}
	all.Wait()
	if after := g.Memory(t); after > before+64<<20 {
		t.Errorf("resident memory grew from %d to %d MiB for %d who don't read", before>>20, after>>20, deaf)
	}
	n.finish(t)
}
