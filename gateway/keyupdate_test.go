package gateway

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// expandLabel is HKDF-Expand-Label without a context [RFC 8446, 7.1].
func expandLabel(t *testing.T, secret []byte, label string, length int) []byte {
	t.Helper()
	label = "tls13 " + label
	info := string([]byte{0, byte(length), byte(len(label))}) + label + "\x00"
	out, err := hkdf.Expand(sha256.New, secret, info, length)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// sealed is a record of TLS_AES_128_GCM_SHA256 [RFC 8446, 5.2].
func sealed(t *testing.T, secret []byte, number, kind byte, content ...byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(expandLabel(t, secret, "key", 16))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := expandLabel(t, secret, "iv", 12)
	nonce[11] ^= number
	inner := append(content, kind)
	head := []byte{23, 3, 3, 0, byte(len(inner) + aead.Overhead())}
	return aead.Seal(head, nonce, inner, head)
}

// TestKeyUpdateAfterARest: crypto/tls answers a key update when it reads, at a time when
// the deadline of the last flush has long come.
func TestKeyUpdateAfterARest(t *testing.T) {
	server, roots := selfSigned(t)
	w := newWorld(t, func(w *world) { w.TLS = server })
	raw, err := net.Dial("tcp", listenTLS(t, w))
	if err != nil {
		t.Fatal(err)
	}
	var keys strings.Builder
	config := roots.Clone()
	config.KeyLogWriter, config.MinVersion, config.ServerName = &keys, tls.VersionTLS13, "127.0.0.1"
	secure := tls.Client(raw, config)
	c := newClient(t, secure).join("d", 60)
	w.event(t)
	if suite := secure.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skip("another suite was chosen:", tls.CipherSuiteName(suite))
	}
	c.publish(1, "message")
	next[*mqtt.Puback](c)
	if err := w.live.get(hub.Identity{Device: "d"}).src.SetWriteDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(keys.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	secret, err := hex.DecodeString(strings.Fields(rest)[1])
	if err != nil {
		t.Fatal(err)
	}
	const sent, handshake, data = 2, 22, 23 // records, and kinds of them
	update := []byte{24, 0, 0, 1, 1}        // update_requested
	records := sealed(t, secret, sent, handshake, update...)
	records = append(records, sealed(t, expandLabel(t, secret, "traffic upd", 32), 0, data, 0xC0, 0)...) // PINGREQ
	if _, err := raw.Write(records); err != nil {
		t.Fatal(err)
	}
	next[*mqtt.Pingresp](c)
}
