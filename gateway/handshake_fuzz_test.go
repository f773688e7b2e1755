package gateway

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FuzzHandshake reads requests as net/http does and asks for a WebSocket. The
// recorder can't be one, so that a handshake that is accepted ends with 501:
// only one that RFC 6455 allows may get that far.
func FuzzHandshake(f *testing.F) {
	const good = "GET /$iothub/websocket HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	f.Add(good + "Sec-WebSocket-Protocol: mqtt\r\n\r\n")
	f.Add(good + "Sec-WebSocket-Protocol: amqp, MQTT ,mqtt\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
	f.Add(strings.Replace(good, "13", "12", 1) + "\r\n")
	f.Add(strings.Replace(good, "GET", "POST", 1) + "Content-Length: 1\r\n\r\nx")
	f.Add(strings.Replace(good, "Upgrade: websocket", "Upgrade: web\u017focket", 1) + "Sec-WebSocket-Protocol: mqtt\r\n\r\n")
	f.Add(strings.Replace(good, "Upgrade: websocket", "Upgrade: web\u017foc\u212aet", 1) + "\r\n")
	f.Add("GET / HTTP/1.0\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		s := &Server{}
		s.WebSocket().ServeHTTP(w, r)
		has := func(header, word string) bool {
			return strings.Contains(strings.ToLower(strings.ToUpper(strings.Join(r.Header.Values(header), ","))), word)
		}
		switch allowed := r.Method == http.MethodGet && r.ProtoAtLeast(1, 1) && has("Upgrade", "websocket") && has("Connection", "upgrade"); {
		case w.Code == http.StatusNotImplemented && !allowed:
			t.Errorf("%q is accepted", text)
		case w.Code != http.StatusNotImplemented && (w.Code < 400 || w.Code > 499):
			t.Errorf("%q is answered by %d", text, w.Code)
		}
		for _, p := range mqttSubprotocol(r.Header) {
			if !strings.EqualFold(p, "mqtt") {
				t.Errorf("%q makes the protocol %q", text, p)
			}
		}
	})
}
