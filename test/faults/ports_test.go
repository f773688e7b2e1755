package faults

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// upgrade asks for a WebSocket.
const upgrade = "GET /$iothub/websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// TestWebStrangers sends to the HTTPS port what belongs elsewhere.
func TestWebStrangers(t *testing.T) {
	g := start(t, hubtest.Options{Flags: loud(impatient()...)})
	d := newDevice(t, g, "somebody")
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	addr := address(g, httpsPort)
	hello := tlsHello(t)
	masked := func(opcode byte, b []byte) string { // with a mask of zeros
		return string([]byte{0x80 | opcode, 0x80 | byte(len(b)), 0, 0, 0, 0}) + string(b)
	}
	cases := map[string]struct {
		tls    *tls.Config
		data   string
		answer string // a part of it
		logged string // a part of its reason; empty: HTTP answers, and nothing is logged
	}{
		"garbage":                 {nil, string(garbage(0x00)), "", "TLS"},
		"http without tls":        {nil, httpRequest, "", "TLS"},
		"mqtt without tls":        {nil, string(bytesOf(t, d.hello(), mqtt.V311)), "", "TLS"},
		"silence":                 {nil, "", "", "TLS"},
		"half a hello":            {nil, string(hello[:len(hello)/2]), "", "TLS"},
		"in tls: garbage":         {d.tls, string(garbage(0xF3)), "400 Bad Request", "no HTTP request"},
		"in tls: mqtt":            {d.tls, string(bytesOf(t, d.hello(), mqtt.V311)), "400 Bad Request", "no HTTP request"},
		"in tls: silence":         {d.tls, "", "", "no HTTP request"},
		"in tls: half a request":  {d.tls, "GET / HTTP/1.1\r\nHo", "", "no HTTP request"},
		"in tls: endless header":  {d.tls, "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 3<<20), "431", "no HTTP request"},
		"in tls: unknown path":    {d.tls, "GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "404", ""},
		"in tls: idle":            {d.tls, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "200 OK", ""},
		"in tls: no body comes":   {d.tls, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", "405", ""},
		"in tls: GET with a body": {d.tls, "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n", "200", ""},
		"no upgrade":              {d.tls, "GET /$iothub/websocket HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "426", "Upgrade"},
		"websocket: silence":      {d.tls, upgrade, "101", "no CONNECT came"},
		"websocket: text":         {d.tls, upgrade + masked(1, []byte("hello")), "101", "MessageText"},
		"websocket: garbage":      {d.tls, upgrade + masked(2, garbage(0xF3)[:64]), "101", "not CONNECT"},
		"websocket: no websocket": {d.tls, upgrade + string(garbage(0xFF)), "101", "read CONNECT"},
		"websocket: half CONNECT": {d.tls, upgrade + masked(2, bytesOf(t, d.hello(), mqtt.V311)[:64]), "101", "CONNECT was begun"},
		"websocket: 200 MB":       {d.tls, upgrade + masked(2, []byte{0x10, 0xFF, 0xFF, 0xFF, 0x5F, 0, 4}), "101", "larger than allowed"},
	}
	t.Run("all", func(t *testing.T) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s, err := dial(addr, c.tls)
				if err != nil {
					t.Fatal(err)
				}
				defer s.close()
				begin := time.Now()
				go func() { _ = s.write([]byte(c.data)) }() // the gateway may not read all
				answer := string(s.drain(t))
				if took := time.Since(begin); took > 8*time.Second {
					t.Errorf("closed after %v", took)
				}
				if !strings.Contains(answer, c.answer) {
					t.Errorf("answer %.200q, want %q", answer, c.answer)
				}
				if c.logged == "" {
					return
				}
				about := func(l hubtest.Line) bool {
					return l.Text("remote") == s.remote() || strings.Contains(l.Text("reason"), s.remote())
				}
				line := g.Log.Await(t, s.remote(), about)
				if all := g.Log.Lines(0, about); len(all) != 1 {
					t.Errorf("%d log lines, want one: %v", len(all), all)
				}
				if !strings.Contains(line.Text("reason")+line.Text("cause"), c.logged) {
					t.Errorf("logged %v, want a reason with %q", line, c.logged)
				}
			})
		}
	})
	innocent.finish(t)
	checkHTTPS(t, g, d.tls)
}

// checkHTTPS checks that the web port still serves.
func checkHTTPS(t *testing.T, g *hubtest.Gateway, config *tls.Config) {
	t.Helper()
	web := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: config}}
	defer web.CloseIdleConnections()
	resp, err := web.Get("https://" + address(g, httpsPort) + "/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "BEGIN CERTIFICATE") {
		t.Errorf("GET /ca.pem: %s %.100q", resp.Status, body)
	}
}

// TestNATSStrangers checks that the NATS port takes nobody without the
// credentials.
func TestNATSStrangers(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(g.Ready.Ports.NATS))
	for name, data := range map[string]string{
		"garbage":         string(garbage(0x00)) + "\r\n",
		"http":            httpRequest,
		"tls":             string(tlsHello(t)),
		"no credentials":  "CONNECT {\"verbose\":false}\r\nPING\r\n",
		"forged JWT":      "CONNECT {\"jwt\":\"eyJ0eXAiOiJKV1QifQ.e30.AAAA\",\"sig\":\"AAAA\",\"nkey\":\"UAAA\"}\r\nPING\r\n",
		"endless line":    strings.Repeat("x", 1<<20),
		"publish at once": "PUB hub.telemetry.innocent 1\r\nx\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := dial(addr, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			go func() { _ = s.write([]byte(data)) }() // the server may not read all
			if got := string(s.drain(t)); strings.Contains(got, "PONG") || !strings.HasPrefix(got, "INFO ") {
				t.Errorf("the answer is %.300q, want INFO and an error", got)
			}
			g.Log.Await(t, s.remote(), func(l hubtest.Line) bool { return strings.Contains(l.Text("message"), s.remote()) })
		})
	}
	if nc, err := nats.Connect(g.Ready.NATSURL, nats.NoReconnect()); err == nil {
		nc.Close()
		t.Error("NATS let a client without credentials in")
	}
	innocent.finish(t)
}
