package credential

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// What a request may hold at most. A CSR of an RSA key with 8192 bits has less
// than 3 KiB.
const (
	// MaxBody is the longest body of a request.
	MaxBody = 16 << 10
	maxCSR  = 8 << 10
	// MaxRID is the longest request id; IoT Hub allows 36 characters.
	MaxRID = 128
)

// any request may be replaced by this.
const replaceAny = "*"

// request is what a device asks for, checked.
type request struct {
	rid     string
	replace string // empty: nothing
	csr     []byte // DER
	digest  [sha256.Size]byte
}

// wireRequest is its JSON. Java writes null for what is not there.
type wireRequest struct {
	ID      *string `json:"id"`
	CSR     *string `json:"csr"`
	Replace *string `json:"replace"`
}

// parseRequest checks what id asks for in a body. Its error is a *Refusal.
func parseRequest(id hub.Identity, rid string, body []byte) (request, error) {
	if err := checkRID(rid); err != nil {
		return request{}, err
	}
	if len(body) > MaxBody {
		return request{}, refuse(BadRequest, "the request has more than %d bytes, which is the most", MaxBody)
	}
	var wire wireRequest
	if err := json.Unmarshal(bytes.TrimSpace(body), &wire); err != nil {
		return request{}, refuse(BadRequest, `the request is not JSON with id, csr and perhaps replace: {"id":"…","csr":"…"}`)
	}
	switch {
	case wire.ID == nil:
		return request{}, refuse(BadRequest, "the request has no id: it is that of the device, %s", id)
	case *wire.ID != id.String():
		return request{}, refuse(SubjectMismatch, "the id of the request is another one than %s, which this connection belongs to", id)
	case wire.CSR == nil || *wire.CSR == "":
		return request{}, refuse(BadRequest, "the request has no csr")
	}
	der, err := decodeCSR(*wire.CSR)
	if err != nil {
		return request{}, err
	}
	if _, err := checkCSR(der, id); err != nil {
		return request{}, err
	}
	r := request{rid: rid, csr: der, digest: sha256.Sum256(der)}
	if wire.Replace != nil {
		r.replace = *wire.Replace
	}
	return r, nil
}

// checkRID is wider than IoT Hub's rule (4 to 36 letters, digits and dashes)
// where nothing speaks against it.
func checkRID(rid string) error {
	if rid == "" || len(rid) > MaxRID {
		return refuse(BadRequest, "the request id has %d characters: use 4 to 36", len(rid))
	}
	for _, c := range rid {
		if !strings.ContainsRune("-_.", c) && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return refuse(BadRequest, "the request id has a character that is no letter, digit or dash")
		}
	}
	return nil
}

func decodeCSR(text string) ([]byte, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN") {
		return nil, refuse(UndecodableCSR, "the csr is PEM: send what stands between its first and last line, without line breaks")
	}
	der, err := base64.StdEncoding.DecodeString(text)
	switch {
	case err != nil:
		return nil, refuse(UndecodableCSR, "the csr is not base64")
	case len(der) > maxCSR:
		return nil, refuse(UndecodableCSR, "the csr has %d bytes, and %d is the most", len(der), maxCSR)
	}
	return der, nil
}
