package query

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"hash/fnv"

	"github.com/hubgate/hubgate/hub"
)

// position is how far the pages of a query have come: behind a row, by its key,
// so that any node can go on, with any page size.
type position struct {
	after string
	given int
}

// tokenForm is the first byte of a token.
const tokenForm = 1

// token is what continues the query there: a form, the hash of the query's text,
// the number of rows, the key, and a checksum.
func (at position) token(q *Query) string {
	b := []byte{tokenForm}
	b = binary.BigEndian.AppendUint64(b, q.hash())
	b = binary.AppendUvarint(b, uint64(at.given))
	b = append(b, at.after...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

func (q *Query) hash() uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(q.text)) // cannot fail
	return h.Sum64()
}

// parseToken reads a token; an empty one is the beginning.
func parseToken(q *Query, token string) (at position, err error) {
	if token == "" {
		return at, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	const fixed = 1 + 8 + 4
	if err != nil || len(b) <= fixed || b[0] != tokenForm {
		return at, hub.Errorf(hub.ArgumentInvalid, "the continuation token is none: send the one that came with the last page, as it was")
	}
	body, sum := b[:len(b)-4], b[len(b)-4:]
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(sum) {
		return at, hub.Errorf(hub.ArgumentInvalid, "the continuation token has been changed: send the one that came with the last page, as it was")
	}
	if binary.BigEndian.Uint64(body[1:]) != q.hash() {
		return at, hub.Errorf(hub.ArgumentInvalid, "the continuation token is of another query: send the same text with it, or begin without a token")
	}
	given, n := binary.Uvarint(body[9:])
	if n <= 0 || given > 1<<40 {
		return at, hub.Errorf(hub.ArgumentInvalid, "the continuation token is none: send the one that came with the last page, as it was")
	}
	at = position{string(body[9+n:]), int(given)}
	if at.token(q) != token { // base64 passes over ends of lines, and a number can be written longer
		return position{}, hub.Errorf(hub.ArgumentInvalid, "the continuation token has been changed: send the one that came with the last page, as it was")
	}
	return at, nil
}
