package attack

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// slowBody is longer than any body is waited for.
const slowBody = 45 * time.Second

// TestRESTSlow sends bodies a byte at a time, or not at all, or without an end,
// ten peers each: every one ends in bounded time, and what has come of it is not
// carried out.
func TestRESTSlow(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	o := g.operator(t, "iothubowner")
	const patch = "PATCH /twins/victim" + version + " HTTP/1.1"
	half := `{"tags":{"slow":1`
	before := g.Memory(t)
	t.Run("all", func(t *testing.T) { // ends when all of them have
		for name, c := range map[string]struct{ text, drip string }{
			"a body a byte at a time":       {o.wire(patch, "Content-Length: 10000\r\n", half), " "},
			"a body that never comes":       {o.wire(patch, "Content-Length: 100\r\n", ""), ""},
			"half a body":                   {o.wire(patch, "Content-Length: 100\r\n", half), ""},
			"chunks that never end":         {o.wire(patch, "Transfer-Encoding: chunked\r\n", "11\r\n"+half+"\r\n"), "1\r\n \r\n"},
			"a chunk a byte at a time":      {o.wire(patch, "Transfer-Encoding: chunked\r\n", "ffff\r\n"+half), " "},
			"the size of a chunk, slowly":   {o.wire(patch, "Transfer-Encoding: chunked\r\n", ""), "0"},
			"trailers that never end":       {o.wire(patch, "Transfer-Encoding: chunked\r\n", "0\r\n"), "X: y\r\n"},
			"a body that nobody asked for":  {o.wire("GET /twins/victim"+version+" HTTP/1.1", "Content-Length: 100000\r\n", ""), "x"},
			"a body of somebody unknown":    {strings.Replace(o.wire(patch, "Content-Length: 100000\r\n", half), "sig=", "sig=A", 1), "x"},
			"a wish to be continued":        {o.wire(patch, "Expect: 100-continue\r\nContent-Length: 100\r\n", ""), ""},
			"a large body, slowly":          {o.wire("POST /devices"+version+" HTTP/1.1", "Content-Length: 250000\r\n", "["+strings.Repeat(" ", 200_000)), " "},
			"a request after a good one":    {o.wire("GET /twins/victim"+version+" HTTP/1.1", "", "") + "GET /twins/victim" + version, "x"},
			"nothing after a good request":  {o.wire("GET /twins/victim"+version+" HTTP/1.1", "", "") + "\r\n", "\r\n"},
			"an unknown verb, and its body": {o.wire("BREW /twins/victim"+version+" HTTP/1.1", "Content-Length: 100000\r\n", ""), "x"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var all []*peer
				for range 10 {
					p := dialTLS(t, g, httpsPort)
					if err := p.write([]byte(c.text)); err != nil {
						t.Fatal(err)
					}
					all = append(all, p)
				}
				for _, p := range all[1:] {
					go p.dripFor(c.drip, slowBody)
				}
				took, got := all[0].dripFor(c.drip, slowBody)
				if took >= slowBody {
					t.Errorf("held for more than %v: %.200q", took, got)
				}
				if bytes.Contains(got, []byte(" 500 ")) || bytes.Contains(got, []byte(`"slow":1`)) {
					t.Errorf("answered by %.300q", got)
				}
				t.Logf("ended after %v: %.60q", took.Round(time.Second), got)
			})
		}
	})
	if after := g.Memory(t); after > before+200<<20 { // the operator has gone on for a minute
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, after>>20)
	}
	n.finish(t)
}

// dripFor sends data again and again, until the gateway closes or time is over,
// and returns how long that took and what came.
func (p *peer) dripFor(data string, most time.Duration) (time.Duration, []byte) {
	begin := time.Now()
	got := make(chan []byte, 1)
	go func() {
		_ = p.SetReadDeadline(begin.Add(most))
		b, _ := io.ReadAll(io.LimitReader(p.Conn, 1<<20))
		got <- b
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case b := <-got:
			return time.Since(begin), b
		case <-tick.C:
			_ = p.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(p.Conn, data)
		}
	}
}

// TestRESTResets ends connections in the midst of requests, politely and not, at
// every step, and in the manner of clients that speak HTTP/2: nobody else
// notices, and nothing is half done.
func TestRESTResets(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	o := g.operator(t, "iothubowner")
	body := `{"tags":{"half":1}}`
	whole := o.wire("PATCH /twins/victim"+version+" HTTP/1.1", "Content-Length: "+strconv.Itoa(len(body)+1)+"\r\n", body) // a byte is missing
	for at := 0; at <= len(whole); at += max(1, len(whole)/40) {
		p := dialTLS(t, g, httpsPort)
		_ = p.write([]byte(whole[:at]))
		secure := p.Conn.(*tls.Conn)
		if at%2 == 0 {
			_ = secure.NetConn().(*net.TCPConn).SetLinger(0) // a reset
			_ = secure.NetConn().Close()
		} else {
			_ = secure.CloseWrite()
		}
	}
	t.Run("HTTP/2 in the handshake", func(t *testing.T) {
		config := g.tls.Clone()
		config.NextProtos = []string{"h2"}
		p := dialPlain(t, g, httpsPort)
		secure := tls.Client(p.Conn, config)
		if err := secure.HandshakeContext(t.Context()); err == nil && secure.ConnectionState().NegotiatedProtocol == "h2" {
			t.Error("HTTP/2 is offered")
		}
	})
	t.Run("HTTP/2 without a word", func(t *testing.T) {
		frames := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		for i := range 1000 { // opened, and reset at once
			id := []byte{0, 0, byte(i >> 7), byte(i<<1) | 1}
			frames = append(frames, append([]byte{0, 0, 1, 1, 5}, append(id, 0x82)...)...)
			frames = append(frames, append([]byte{0, 0, 4, 3, 0}, append(id, 0, 0, 0, 8)...)...)
		}
		p := dialTLS(t, g, httpsPort)
		_ = p.write(frames)
		if got := p.closed(t); len(got) > 600 || bytes.Contains(got, []byte("200 OK")) {
			t.Errorf("answered by %.300q", got)
		}
	})
	// A storm of requests that nobody waits for.
	const text = "SELECT * FROM devices WHERE tags.a = 1"
	for i := range 300 {
		nc, err := dialFrom(t.Context(), anAddress(), g.address(httpsPort))
		if err != nil {
			t.Fatal(err)
		}
		secure := tls.Client(nc, g.tls)
		if err := secure.HandshakeContext(t.Context()); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		_, _ = io.WriteString(secure, o.wire("POST "+queries+" HTTP/1.1", fmt.Sprintf("Content-Length: %d\r\n", len(ask(text))), ask(text)))
		_ = nc.(*net.TCPConn).SetLinger(0)
		_ = nc.Close()
	}
	o.do(t, "GET", "/twins/victim"+version, "").ok(t, 200)
	n.finish(t)
}

// TestRESTInjection has the hub say again what a request has said: in headers it
// is not, and in a body it is a JSON string.
func TestRESTInjection(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	o := g.operator(t, "iothubowner")
	const evil = "%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a%3Cscript%3E"
	for name, path := range map[string]string{
		"a device":         "/devices/" + evil,
		"a twin":           "/twins/" + evil,
		"a module":         "/devices/victim/modules/" + evil,
		"a digital twin":   "/digitaltwins/" + evil,
		"a job":            "/jobs/v2/" + evil,
		"another job":      "/jobs/" + evil,
		"a configuration":  "/configurations/" + evil,
		"a lock":           "/messages/serviceBound/feedback/" + evil,
		"a path":           "/" + evil,
		"a semicolon":      "/devices/a%3bErrorCode:ServerError%3bb",
		"quotes":           "/devices/%22,%22Message%22:%22x",
		"what is long":     "/devices/" + strings.Repeat("%22", 3000),
		"a line for a log": "/devices/%0a%7b%22level%22:%22error%22%7d",
	} {
		for _, verb := range []string{"GET", "DELETE"} {
			t.Run(name+" "+verb, func(t *testing.T) {
				a := o.do(t, verb, path+version, "", "If-Match", "*")
				if a.status < 400 && !strings.Contains(string(a.body), `"status":"unknown"`) {
					t.Errorf("answered by %d %.200q", a.status, a.body)
				}
				a.clean(t)
				if bytes.ContainsAny(a.body, "\r\n") {
					t.Errorf("the body has lines: %.200q", a.body)
				}
			})
		}
	}
	o.do(t, "GET", "/devices/victim"+version+"%0d%0aX:%20y", "").refused(t, hub.InvalidProtocol)
	n.finish(t)
}
