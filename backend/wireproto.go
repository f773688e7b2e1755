package backend

import (
	"bytes"
	"errors"
	"io"
	"net/textproto"
	"strconv"

	"github.com/hubgate/hubgate/backend/direct"
)

// What goes to the server. See https://docs.nats.io/reference/reference-protocols/nats-protocol.
const (
	wirePing      = "PING\r\n"
	wirePong      = "PONG\r\n"
	wireVersion   = "NATS/1.0\r\n"
	wireLineEnd   = "\r\n"
	wireNobody    = "NATS/1.0 503" // begins the headers of "no responders"
	wireSeparator = ' '
	wireEpoch     = '-' // ends the epoch in a reply subject
)

// appendPublication appends the message of a slot. If that asks for an
// acknowledgement, it goes to the inbox, with the epoch and the number of the slot.
func appendPublication(dst []byte, inbox string, epoch uint64, s *slot) []byte {
	headers := s.headers.Wire()
	return appendContent(appendSubjects(appendOp(dst, headers), inbox, epoch, s), headers, s.body)
}

// appendOp appends what a publication with these headers begins with: its subjects
// come next, then [appendContent].
func appendOp(dst, headers []byte) []byte {
	if len(headers) == 0 {
		return append(dst, "PUB "...)
	}
	return append(dst, "HPUB "...)
}

// appendContent appends all of a publication that stands behind its subjects: sizes,
// headers, which are lines, and body.
func appendContent(dst, headers, body []byte) []byte {
	block := headerBlock(headers)
	if block > 0 {
		dst = append(strconv.AppendInt(dst, int64(block), 10), wireSeparator)
	}
	dst = append(strconv.AppendInt(dst, int64(block+len(body)), 10), wireLineEnd...)
	if block > 0 {
		dst = append(append(append(dst, wireVersion...), headers...), wireLineEnd...)
	}
	return append(append(dst, body...), wireLineEnd...)
}

func appendSubjects(dst []byte, inbox string, epoch uint64, s *slot) []byte {
	dst = append(append(dst, s.subject...), wireSeparator)
	if !s.asks {
		return dst
	}
	dst = append(strconv.AppendUint(append(dst, inbox...), epoch, replyBase), wireEpoch)
	return append(strconv.AppendUint(dst, s.seq, replyBase), wireSeparator)
}

// isSubject reports whether s can be the subject of a message: no byte of it ends
// the word.
func isSubject(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' {
			return false
		}
	}
	return s != ""
}

// appendHeaders appends headers as lines, as nats.go writes them: of a line break in
// a value there is a blank left. A name that would not be read again is not written.
func appendHeaders(dst []byte, headers []direct.Header) (lines []byte, ok bool) {
	for _, h := range headers {
		if !isHeaderName(h.Name) {
			return dst, false
		}
		dst = append(append(dst, h.Name...), ": "...)
		begin := len(dst)
		dst = append(dst, textproto.TrimString(h.Value)...)
		for i, c := range dst[begin:] {
			if c == '\r' || c == '\n' {
				dst[begin+i] = ' '
			}
		}
		dst = append(dst, wireLineEnd...)
	}
	return dst, true
}

func isHeaderName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || s[i] == ':' {
			return false
		}
	}
	return s != ""
}

// parseReply is the inverse of what [appendPublication] puts behind the inbox.
func parseReply(token []byte) (to, bool) {
	epoch, seq, _ := bytes.Cut(token, []byte{wireEpoch})
	e, err := strconv.ParseUint(view(epoch), replyBase, 64)
	if err != nil || e == 0 {
		return to{}, false
	}
	n, err := strconv.ParseUint(view(seq), replyBase, 64)
	return to{seq: n, epoch: e}, err == nil
}

// headerBlock is how long headers are with what stands around them.
func headerBlock(headers []byte) int {
	if len(headers) == 0 {
		return 0
	}
	return len(wireVersion) + len(headers) + len(wireLineEnd)
}

// payloadSize is the size of a message as the server counts it: headers and body.
func payloadSize(s *slot) int { return headerBlock(s.headers.Wire()) + len(s.body) }

// frame is one thing that the server has said.
type frame struct {
	kind frameKind
	// Of a message. Headers are with their version line; nil: there are none.
	subject, sid, headers, data []byte
	// What follows INFO and -ERR.
	text []byte
}

type frameKind uint8

const (
	frameMessage frameKind = iota + 1
	framePing
	framePong
	frameInfo
	frameOK
	frameError
)

// wireBuffer is how much is read at once. No acknowledgement is longer: a message
// that is, is not from JetStream.
const wireBuffer = 64 << 10

// maxDigits bounds a size, far above all that a server can be configured to send.
const maxDigits = 10

var (
	errWireLine = errors.New("NATS sends a line that is too long")
	errWire     = errors.New("NATS sends what is not its protocol")
)

// wireReader reads what a server sends. Its memory is its buffer.
type wireReader struct {
	buf        []byte
	begin, end int  // of what is not parsed yet
	skip       int  // how much of a message is to come that is too long
	grows      bool // no message is too long
	size       int  // of buf, but for a long message
}

func newWireReader(size int) *wireReader { return &wireReader{buf: make([]byte, size), size: size} }

// fill reads once. The frames before are gone then.
func (r *wireReader) fill(from io.Reader) error {
	if r.begin > 0 {
		r.end = copy(r.buf, r.buf[r.begin:r.end])
		r.begin = 0
	}
	if r.end == 0 && len(r.buf) > r.size {
		r.buf = make([]byte, r.size)
	}
	n, err := from.Read(r.buf[r.end:])
	r.end += n
	return err
}

// next returns the next frame; ok is false when more has to be read. Its slices
// are valid until fill.
func (r *wireReader) next() (f frame, ok bool, err error) {
	for {
		if r.skip > 0 {
			n := min(r.skip, r.end-r.begin)
			r.begin += n
			if r.skip -= n; r.skip > 0 {
				return frame{}, false, nil
			}
		}
		b := r.buf[r.begin:r.end]
		n := bytes.IndexByte(b, '\n')
		if n < 0 {
			if len(b) == len(r.buf) {
				return frame{}, false, errWireLine
			}
			return frame{}, false, nil
		}
		f, size, err := parseLine(bytes.TrimSuffix(b[:n], []byte("\r")))
		if err != nil {
			return frame{}, false, err
		}
		n++
		if f.kind != frameMessage {
			r.begin += n
			return f, true, nil
		}
		total := n + size.total + len(wireLineEnd)
		if total > len(r.buf) {
			r.exceed(total)
			continue
		}
		if total > len(b) {
			return frame{}, false, nil
		}
		if string(b[total-len(wireLineEnd):total]) != wireLineEnd {
			return frame{}, false, errWire
		}
		if size.headers > 0 {
			f.headers = b[n : n+size.headers]
		}
		f.data = b[n+size.headers : n+size.total]
		r.begin += total
		return f, true, nil
	}
}

// exceed makes room for a message of so many bytes, or has it skipped.
func (r *wireReader) exceed(total int) {
	if !r.grows {
		r.skip = total
		return
	}
	r.end = copy(r.buf, r.buf[r.begin:r.end])
	r.begin = 0
	r.buf = append(make([]byte, 0, total), r.buf[:r.end]...)[:total]
}

// sizes are those of a message: of its headers, and of all.
type sizes struct{ headers, total int }

// parseLine reads the line that a frame begins with.
func parseLine(line []byte) (f frame, size sizes, err error) {
	op, rest, _ := bytes.Cut(line, []byte{wireSeparator})
	switch string(op) {
	case "MSG":
		return parseMessage(rest, 1)
	case "HMSG":
		return parseMessage(rest, 2)
	case "PING":
		f.kind = framePing
	case "PONG":
		f.kind = framePong
	case "INFO":
		f.kind, f.text = frameInfo, rest
	case "+OK":
		f.kind = frameOK
	case "-ERR":
		f.kind, f.text = frameError, bytes.Trim(rest, " '")
	default:
		err = errWire
	}
	return f, size, err
}

// parseMessage reads "subject sid [reply] [headers] total", which has one size or
// two.
func parseMessage(line []byte, numbers int) (frame, sizes, error) {
	var buf [messageParts][]byte
	part := appendParts(buf[:0], line)
	if n := len(part) - numbers; n < 2 || n > 3 {
		return frame{}, sizes{}, errWire
	}
	var size sizes
	for _, digits := range part[len(part)-numbers:] {
		n, ok := parseSize(digits)
		if !ok {
			return frame{}, sizes{}, errWire
		}
		size.headers, size.total = size.total, n
	}
	if size.headers > size.total {
		return frame{}, sizes{}, errWire
	}
	return frame{kind: frameMessage, subject: part[0], sid: part[1]}, size, nil
}

// messageParts is how many parts the line of a message has at most, and one more.
const messageParts = 6

// appendParts appends the parts of a line, as far as there is room.
func appendParts(dst [][]byte, line []byte) [][]byte {
	for len(line) > 0 && len(dst) < cap(dst) {
		part, rest, _ := bytes.Cut(line, []byte{wireSeparator})
		if len(part) > 0 {
			dst = append(dst, part)
		}
		line = rest
	}
	return dst
}

func parseSize(digits []byte) (n int, ok bool) {
	if len(digits) == 0 || len(digits) > maxDigits {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
