package rest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// The most that requests hold.
const (
	maxBody      = 256 << 10 // if nothing else is said
	maxDepth     = 64        // objects and arrays inside each other
	bodyTime     = 30 * time.Second
	afterRefusal = time.Second // for the rest of a body that nobody wants
)

// body reads the whole body, in bounded time. It fails with MessageTooLarge,
// before anything is read when the caller has said how much there is; with
// WrongMediaType when the body is compressed; with GatewayTimeout when it does
// not come, and ArgumentInvalid when it breaks off.
func (c *call) body(limit int) ([]byte, error) {
	if err := c.checkEncoding(); err != nil {
		return nil, err
	}
	if c.r.ContentLength > int64(limit) {
		return nil, tooLarge(limit)
	}
	_ = c.control.SetReadDeadline(time.Now().Add(bodyTime)) // nobody can mend it
	body, err := io.ReadAll(io.LimitReader(c.r.Body, int64(limit)+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, hub.Errorf(hub.GatewayTimeout, "the body did not come within %v: %w", bodyTime, err)
	case err != nil:
		return nil, hub.Errorf(hub.ArgumentInvalid, "the body breaks off: %w", err)
	case len(body) > limit:
		return nil, tooLarge(limit)
	}
	c.read = true
	return body, nil
}

func tooLarge(limit int) error {
	return hub.Errorf(hub.MessageTooLarge, "a request here has at most %d bytes", limit)
}

// checkEncoding refuses compressed bodies. "utf-8" is what Azure IoT Explorer
// writes there.
func (c *call) checkEncoding() error {
	switch encoding := c.r.Header.Get("Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity", "utf-8":
		return nil
	default:
		return hub.Errorf(hub.WrongMediaType, "the body has the Content-Encoding %q: send it plain", clip(encoding))
	}
}

// decode reads the body as JSON into v. Names match in any case, as SDKs write
// eTag and etag; names that v does not have are passed over, for clients send
// back what they got. It fails with ArgumentNull without a body, and with
// ArgumentInvalid for what is no JSON, has a name twice or is too deep.
func (c *call) decode(limit int, v any) error {
	body, err := c.body(limit)
	if err != nil {
		return err
	}
	return decode(body, v)
}

func decode(body []byte, v any) error {
	if text := bytes.TrimSpace(body); len(text) == 0 || string(text) == "null" { // which would leave v as it is
		return hub.Errorf(hub.ArgumentNull, "the request has no body: it needs JSON")
	}
	if err := checkJSON(body); err != nil {
		return err
	}
	err := json.Unmarshal(body, v, json.MatchCaseInsensitiveNames(true))
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*hub.Error](err); ok { // of a feature's own decoder
		return e
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok {
		if e.JSONPointer == "" {
			return hub.Errorf(hub.ArgumentInvalid, "the JSON is %s, which it can't be", kindOf(e.JSONKind))
		}
		return hub.Errorf(hub.ArgumentInvalid, "the JSON has %s at %q, where that can't be", kindOf(e.JSONKind), clip(string(e.JSONPointer)))
	}
	return hub.Errorf(hub.ArgumentInvalid, "the JSON can't be used: it has the same name twice, in different case, or a value that does not fit")
}

// checkJSON refuses what is not one JSON value by the book: package json would
// take what is 10000 levels deep.
func checkJSON(body []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		_, err := d.ReadToken()
		switch {
		case errors.Is(err, io.EOF) && d.InputOffset() > 0:
			return nil
		case err != nil:
			return malformed(d, err)
		case d.StackDepth() > maxDepth:
			return hub.Errorf(hub.ArgumentInvalid, "the JSON is more than %d levels deep", maxDepth)
		case d.StackDepth() == 0:
			return endsHere(d)
		}
	}
}

func endsHere(d *jsontext.Decoder) error {
	_, err := d.ReadToken()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return hub.Errorf(hub.ArgumentInvalid, "something follows the JSON at byte %d", d.InputOffset())
}

// malformed never shows what was read: it may be a key.
func malformed(d *jsontext.Decoder, err error) error {
	at := d.InputOffset()
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at = e.ByteOffset
		if errors.Is(e, jsontext.ErrDuplicateName) {
			return hub.Errorf(hub.ArgumentInvalid, "the JSON has the name %q twice", clip(string(e.JSONPointer)))
		}
	}
	return hub.Errorf(hub.ArgumentInvalid, "the body is not JSON: it goes wrong at byte %d", at)
}

func kindOf(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	default:
		return "a value"
	}
}
