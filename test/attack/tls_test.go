package attack

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// TestDowngrade offers TLS that is too old or too weak: the handshake fails, on
// both ports, and the timeline of the address says so.
func TestDowngrade(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	for name, c := range map[string]*tls.Config{
		"TLS 1.0":              {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
		"TLS 1.1":              {MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11},
		"RC4":                  {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_RC4_128_SHA}},
		"3DES":                 {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA}},
		"no forward secrecy":   {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_CBC_SHA}},
		"CBC with SHA-256 MAC": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, tls.TLS_RSA_WITH_AES_128_CBC_SHA256}},
	} {
		c.InsecureSkipVerify = true
		for port, where := range map[int]string{mqttPort: "MQTT", httpsPort: "HTTPS"} {
			t.Run(name+" by "+where, func(t *testing.T) {
				p := dialPlain(t, g, port)
				secure := tls.Client(p.Conn, c)
				if err := secure.HandshakeContext(t.Context()); err == nil {
					t.Fatalf("the handshake came through with version %x and suite %s", secure.ConnectionState().Version, tls.CipherSuiteName(secure.ConnectionState().CipherSuite))
				}
				_ = p.Close()
				g.told(t, p, hub.Identity{}, hub.ConnectionLost, "TLS handshake failed")
			})
		}
	}
	w.finish(t)
}

// hello12 is the first flight of a TLS 1.2 client.
func hello12(t *testing.T) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	go func() {
		_ = tls.Client(there, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}).HandshakeContext(t.Context())
	}()
	record := make([]byte, 5)
	if _, err := io.ReadFull(here, record); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(record[3:]))
	if _, err := io.ReadFull(here, body); err != nil {
		t.Fatal(err)
	}
	return append(record, body...)
}

// TestRawHellos sends first flights that no honest client sends: each is
// answered by an alert or nothing, and the connection ends.
func TestRawHellos(t *testing.T) {
	t.Parallel()
	g := start(t, "--set", "limits.handshake_timeout=2s")
	w := watch(t, g, 1, 2*time.Millisecond)
	const suites = 5 + 4 + 2 + 32 + 1 + 32 // where they begin, with their length
	honest := hello12(t)
	fallback := slices.Insert(bytes.Clone(honest), suites+2, 0x56, 0x00) // TLS_FALLBACK_SCSV, RFC 7507
	for _, at := range []int{3, 7, suites} {
		binary.BigEndian.PutUint16(fallback[at:], binary.BigEndian.Uint16(fallback[at:])+2)
	}
	sslv3 := append([]byte{22, 3, 0, 0, 47, 1, 0, 0, 43, 3, 0}, make([]byte, 33)...) // no session
	sslv3 = append(sslv3, 0, 4, 0, 10, 0, 5, 1, 0)
	empty := bytes.Repeat([]byte{0x16, 3, 1, 0, 0}, 5000)
	huge := append([]byte{0x16, 3, 1, 0x40, 0, 1, 0xFF, 0xFF, 0xFF}, make([]byte, 16<<10-4)...)
	for name, c := range map[string]struct{ flight, answer []byte }{
		"a version that was forced down": {fallback, []byte{21, 3, 3, 0, 2, 2, 86}}, // inappropriate_fallback
		"SSL 3.0":                        {sslv3, []byte{21, 3, 1, 0, 2, 2, 70}},    // protocol_version
		"SSL 2.0":                        {[]byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10}, nil},
		"5000 empty records":             {empty, nil},
		"a hello of 16 MiB, announced":   {huge, nil},
		"a heartbeat":                    {[]byte{24, 3, 2, 0, 3, 1, 0x40, 0}, nil},
		"application data first":         {[]byte{23, 3, 3, 0, 4, 1, 2, 3, 4}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := dialPlain(t, g, mqttPort)
			_ = p.write(c.flight) // the gateway may close before it has read all
			answer := p.closed(t)
			if c.answer != nil && !bytes.Equal(answer, c.answer) {
				t.Errorf("answered by % x, want % x", answer, c.answer)
			}
			if len(answer) > 7 {
				t.Errorf("answered by %d bytes, want an alert at most", len(answer))
			}
			g.told(t, p, hub.Identity{}, codeOfHello(name), "TLS")
		})
	}
	w.finish(t)
}

func codeOfHello(name string) hub.Code {
	switch name {
	case "SSL 2.0", "a heartbeat", "application data first":
		return hub.GenericBadRequest // no TLS, as far as a server can tell
	}
	return hub.ConnectionLost
}

// tap copies what goes through a connection.
type tap struct {
	net.Conn
	read, written bytes.Buffer
}

func (c *tap) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Write(b[:n])
	return n, err
}

func (c *tap) Write(b []byte) (int, error) {
	c.written.Write(b)
	return c.Conn.Write(b)
}

// TestRenegotiation begins a second handshake in a connection of TLS 1.2, which
// crypto/tls has no way to do: the record is sealed by hand. The connection
// ends, whether a client has been let in on it or not.
func TestRenegotiation(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	d := g.create(t, "again")
	for _, joined := range []string{"before CONNECT", "behind CONNECT"} {
		t.Run(joined, func(t *testing.T) {
			p := dialPlain(t, g, mqttPort)
			var keys bytes.Buffer
			wire := &tap{Conn: p.Conn}
			config := g.tls.Clone()
			config.MaxVersion, config.KeyLogWriter = tls.VersionTLS12, &keys
			config.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
			secure := newPeer(t, tls.Client(wire, config))
			if err := secure.Conn.(*tls.Conn).HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			sequence := uint64(1) // Finished was 0
			if joined == "behind CONNECT" {
				secure.welcomed(t, d.hello())
				sequence++
			}
			again := hello12(t)[5:]
			if err := p.write(sealed(t, keys.String(), wire, sequence, again)); err != nil {
				t.Fatal(err)
			}
			if rest := p.closed(t); bytes.Contains(rest, []byte{22, 3, 3}) {
				t.Errorf("the gateway answers by a handshake: % x", rest)
			}
			g.told(t, p, d.id, hub.ConnectionLost, "")
		})
	}
	w.finish(t)
}

// sealed is a handshake record of a client, by the keys of a connection
// (RFC 5246, 6.3 and RFC 5288).
func sealed(t *testing.T, keyLog string, wire *tap, sequence uint64, body []byte) []byte {
	t.Helper()
	words := strings.Fields(keyLog) // CLIENT_RANDOM, the random, the master secret
	client, err := hex.DecodeString(words[1])
	if err != nil {
		t.Fatal(err)
	}
	master, err := hex.DecodeString(words[2])
	if err != nil {
		t.Fatal(err)
	}
	server := wire.read.Bytes()[11:43] // record, handshake, version; then the random
	block := prf(master, "key expansion", append(bytes.Clone(server), client...), 40)
	key, salt := block[:16], block[32:36]
	c, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(c)
	if err != nil {
		t.Fatal(err)
	}
	number := binary.BigEndian.AppendUint64(nil, sequence)
	additional := append(bytes.Clone(number), 22, 3, 3, byte(len(body)>>8), byte(len(body)))
	record := gcm.Seal(bytes.Clone(number), append(bytes.Clone(salt), number...), body, additional)
	return append([]byte{22, 3, 3, byte(len(record) >> 8), byte(len(record))}, record...)
}

// prf is that of TLS 1.2 with SHA-256.
func prf(secret []byte, label string, seed []byte, size int) []byte {
	seed = append([]byte(label), seed...)
	mac := func(data ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, b := range data {
			_, _ = h.Write(b)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := mac(seed); len(out) < size; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:size]
}
