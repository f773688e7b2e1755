package rest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// reply is an answer. The zero value is 204.
type reply struct {
	status  int         // 0: 200 with a body, 204 without
	body    any         // marshalled; []byte is JSON already; nil: none
	headers http.Header // nil: none of its own
}

// withETag answers with an entity's etag in the header, where it has quotes; in
// bodies it has none.
func withETag(body any, etag string) reply {
	return reply{body: body, headers: http.Header{"Etag": {`"` + etag + `"`}}}
}

// newRequestID returns 32 hexadecimal digits.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])  // never fails; see crypto/rand
	b[6] = b[6]&0x0f | 4<<4 // of a version 4 UUID
	b[8] = b[8]&0x3f | 2<<6 // of RFC 9562
	return hex.EncodeToString(b[:])
}

// guid writes a request's id with dashes.
func guid(id string) string {
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

// send writes the answer, with its length: some clients don't take chunks.
func (c *call) send(w http.ResponseWriter, out *reply) {
	body, err := out.bytes()
	if err != nil {
		*out = c.refusal(hub.Errorf(hub.ServerError, "the answer is no JSON: %w", err))
		body, _ = out.bytes() // of strings
	}
	h := w.Header()
	for name, values := range out.headers {
		h[spelled(name)] = values
	}
	h.Set("Vary", "Origin")
	h[spelled("X-Ms-Request-Id")] = []string{guid(c.request)}
	if body != nil {
		h.Set("Content-Type", "application/json; charset=utf-8")
	}
	if out.status != http.StatusNoContent { // where HTTP forbids it
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if !c.read { // what is left of the body may be long, or never come
		_ = c.control.SetReadDeadline(time.Now().Add(afterRefusal))
	}
	if !c.read || c.by == "" { // only whom we know may keep a connection
		h.Set("Connection", "close")
	}
	_ = c.control.SetWriteDeadline(time.Now().Add(writeTime))
	w.WriteHeader(out.status)
	_, _ = w.Write(body) // nobody is there to be told
	_ = c.control.Flush()
	_ = c.control.SetWriteDeadline(time.Time{}) // it would be there at the next answer
}

// spelled is a header's name in HTTP/1.1, letter by letter as IoT Hub writes it:
// the digital twin client of Java's SDK looks for the status of a command and for
// ETag in no other case.
func spelled(name string) string {
	switch {
	case name == "Etag":
		return "ETag"
	case strings.HasPrefix(name, "X-Ms-"), strings.HasPrefix(name, "Iothub-"):
		return strings.ToLower(name)
	}
	return name
}

// writeTime is how long a client may take to read an answer.
const writeTime = time.Minute

// bytes is the body, and settles the status.
func (out *reply) bytes() (body []byte, err error) {
	switch b := out.body.(type) {
	case nil:
	case []byte:
		body = b
	default:
		body, err = marshal(b)
	}
	switch {
	case out.status != 0:
	case body == nil:
		out.status = http.StatusNoContent
	default:
		out.status = http.StatusOK
	}
	return body, err
}

// marshal writes v as JSON, <, > and & as they are.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}
