package conformance

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestReplay plays the clients' side of every golden transcript, with fresh
// tokens, against a gateway; the gateway must say exactly what the transcript
// says, and the stream must hold what was published. It needs no SDK and no
// standard port.
func TestReplay(t *testing.T) {
	t.Parallel()
	if *update {
		return // the transcripts are being written
	}
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	g := startWith(t, "--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), "-telemetry.txt"), func(t *testing.T) {
			replay(t, g.in(t), file)
		})
	}
}

// player plays one transcript.
type player struct {
	t     *testing.T
	g     *gateway
	known map[string]identity  // the identities that the transcript has met
	sent  map[string][]message // what each has published
	id    string               // the identity of this connection
	get   packet               // of the WebSocket: path and subprotocol; zero for plain MQTT
	sub   string               // subprotocol that the gateway chose
	conn  net.Conn
	in    *bufio.Reader
}

func replay(t *testing.T, g *gateway, file string) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p := &player{t: t, g: g, known: map[string]identity{}, sent: map[string][]message{}}
	for n, text := range strings.Split(string(data), "\n") {
		what := fmt.Sprintf("%s:%d", file, n+1)
		direction, rest, _ := strings.Cut(text, " ")
		switch {
		case text == "" || direction == "#":
			p.hangUp(what)
		case strings.HasPrefix(text, "> GET "):
			if p.get, err = parse(rest); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			p.dial(what)
		case strings.HasPrefix(text, "< 101 "):
			if want := fmt.Sprintf("101 subprotocol=%q", p.sub); rest != want {
				t.Fatalf("%s: the gateway says %s, want %s", what, want, rest)
			}
		case direction == ">":
			p.say(what, rest)
		case direction == "<":
			p.hear(what, rest)
		default:
			t.Fatalf("%s: not a line of a transcript: %q", what, text)
		}
	}
	p.hangUp("the end of " + file)
	for id, want := range p.sent {
		compare(t, id, p.known[id], want, g.messages(id, len(want)))
	}
}

// say sends one packet; a CONNECT begins a connection.
func (p *player) say(what, text string) {
	p.t.Helper()
	out, err := parse(text)
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	switch out.name {
	case "CONNECT":
		if p.conn == nil {
			p.dial(what)
		}
		p.id = out.get("id")
		out = p.fresh(out)
	case "PUBLISH":
		p.sent[p.id] = append(p.sent[p.id], fromTopic(out.get("topic"), out.get("payload")))
	}
	raw, err := out.encode()
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	if _, err := p.conn.Write(raw); err != nil {
		p.t.Fatalf("%s: send %s: %v", what, out.name, err)
	}
}

// hear reads one packet and compares it.
func (p *player) hear(what, want string) {
	p.t.Helper()
	raw, err := readPacket(p.in)
	if err != nil {
		p.t.Fatalf("%s: the gateway ended the connection (%v), want %s", what, err, want)
	}
	if got := decode(raw).String(); got != want {
		p.t.Fatalf("%s: the gateway says %s, want %s", what, got, want)
	}
}

// hangUp checks that the gateway says nothing more and closes: every dialogue ends
// with a DISCONNECT or a refusal.
func (p *player) hangUp(what string) {
	p.t.Helper()
	if p.conn == nil {
		return
	}
	if raw, err := readPacket(p.in); err == nil {
		p.t.Errorf("before %s: the gateway says %s after the end", what, decode(raw))
	} else if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		p.t.Errorf("before %s: the gateway does not close the connection", what)
	}
	_ = p.conn.Close()
	p.conn, p.get = nil, packet{}
}

// dial opens the connection on which the transcript speaks.
func (p *player) dial(what string) {
	p.t.Helper()
	config := trusting(p.t, p.g)
	if p.get.name == "" {
		addr := net.JoinHostPort(p.g.Ready.HostName, strconv.Itoa(p.g.Ready.Ports.MQTT))
		conn, err := tls.Dial("tcp", addr, config)
		if err != nil {
			p.t.Fatalf("%s: dial: %v", what, err)
		}
		p.conn = conn
	} else {
		path, err := url.ParseRequestURI(p.get.get("target"))
		if err != nil {
			p.t.Fatalf("%s: %v", what, err)
		}
		host := net.JoinHostPort(p.g.Ready.HostName, strconv.Itoa(p.g.Ready.Ports.HTTPS))
		target := url.URL{Scheme: "wss", Host: host, Path: path.Path, RawQuery: path.RawQuery}
		ws, _, err := websocket.Dial(p.t.Context(), target.String(), &websocket.DialOptions{
			Subprotocols: []string{p.get.get("subprotocol")},
			HTTPClient:   &http.Client{Transport: &http.Transport{TLSClientConfig: config}},
		})
		if err != nil {
			p.t.Fatalf("%s: upgrade: %v", what, err)
		}
		p.sub = ws.Subprotocol()
		p.conn = websocket.NetConn(context.Background(), ws, websocket.MessageBinary)
	}
	if err := p.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	p.in = bufio.NewReader(p.conn)
}

var resourcePart = regexp.MustCompile(`\bsr=([^&]+)`)

// fresh fills in what the transcript leaves out: host, agent, expiry, signature.
func (p *player) fresh(connect packet) packet {
	p.t.Helper()
	if _, ok := p.known[p.id]; !ok {
		device, _, isModule := strings.Cut(p.id, "/")
		if isModule {
			p.g.create(device)
		}
		p.known[p.id] = p.g.create(p.id)
	}
	secret := key(p.known[p.id].ConnectionString)
	expiry := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
	fill := strings.NewReplacer("{host}", p.g.Ready.HostName, "{os}", "%20(replay)", "{se}", expiry)
	filled := packet{name: connect.name}
	for _, f := range connect.fields {
		value := fill.Replace(unquote(f.value))
		if f.key == "password" {
			resource := resourcePart.FindStringSubmatch(value)[1]
			good := url.QueryEscape(signature(resource, expiry, secret))
			bad := url.QueryEscape(signature(resource, expiry, otherKey))
			value = strings.NewReplacer("{sig}", good, "{wrong}", bad).Replace(value)
		}
		if f.value != unquote(f.value) {
			value = strconv.Quote(value)
		}
		filled.fields = append(filled.fields, field{f.key, value})
	}
	return filled
}

// fromTopic reads a message from a telemetry topic by the rules of the SDKs: a
// decoder apart from the gateway's.
func fromTopic(topic, payload string) message {
	_, bag, _ := strings.Cut(topic, "/messages/events/")
	m := message{Body: []byte(payload)}
	fields := map[string]*string{
		"$.mid": &m.MessageID, "$.cid": &m.CorrelationID, "$.uid": &m.UserID, "$.to": &m.To, "$.ct": &m.ContentType,
		"$.ce": &m.ContentEncoding, "$.exp": &m.Expiry, "$.ctime": &m.CreationTime, "$.sub": &m.Component,
		"$.on": &m.Output, "$.cdid": &m.SenderDevice, "$.cmid": &m.SenderModule,
	}
	for pair := range strings.SplitSeq(strings.TrimSuffix(bag, "/"), "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		switch {
		case name == "$.ifid":
			m.Security = value == securityInterface
		case fields[name] != nil:
			*fields[name] = value
		case pair != "":
			m.Properties = append(m.Properties, [2]string{name, value})
		}
	}
	return m
}

var escapePart = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

// unescape resolves the percent escapes in s and leaves everything else.
func unescape(s string) string {
	return escapePart.ReplaceAllStringFunc(s, func(e string) string {
		c, _ := strconv.ParseUint(e[1:], 16, 8)
		return string([]byte{byte(c)})
	})
}
