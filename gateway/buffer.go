package gateway

import (
	"sync"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// readBufferSize is what one read takes at most: a full TLS record, or some
// fifty small messages.
const readBufferSize = 16 << 10

// inbox is what a connection needs only while it reads: the bytes that came
// and the decoder whose packets point into them. An idle connection has none.
type inbox struct {
	buf  []byte // len is the end of what has come
	next int    // start of what has not been decoded
	dec  mqtt.Decoder

	batch batch // what was decoded and not charged yet
}

// inboxes holds the buffers of all connections that are idle now.
type inboxes struct{ pool sync.Pool }

func (p *inboxes) get() *inbox {
	if in, ok := p.pool.Get().(*inbox); ok {
		return in
	}
	return &inbox{buf: make([]byte, 0, readBufferSize)}
}

// put takes back an empty inbox. A buffer that one large packet made grow is
// left to the garbage collector: few are needed and each is big.
func (p *inboxes) put(in *inbox) {
	if cap(in.buf) > readBufferSize {
		in.buf = make([]byte, 0, readBufferSize)
		in.dec.Reset() // it points into the old one
	}
	in.buf, in.next, in.batch = in.buf[:0], 0, batch{}
	p.pool.Put(in)
}

// unread is what has come and was not decoded yet.
func (in *inbox) unread() []byte { return in.buf[in.next:] }

// space makes room for at least one byte more and returns it. It moves the
// unread bytes to the front, and doubles the buffer when that is not enough:
// never more than twice what a peer really sent is held for it.
func (in *inbox) space() []byte {
	if in.next > 0 {
		n := copy(in.buf, in.unread())
		in.buf, in.next = in.buf[:n], 0
	}
	if len(in.buf) == cap(in.buf) {
		grown := make([]byte, len(in.buf), 2*cap(in.buf))
		copy(grown, in.buf)
		in.buf = grown
	}
	return in.buf[len(in.buf):cap(in.buf)]
}

// add says that n bytes were read into space.
func (in *inbox) add(n int) { in.buf = in.buf[:len(in.buf)+n] }

// full reports that the last read may have left something behind.
func (in *inbox) full() bool { return len(in.buf) == cap(in.buf) }
