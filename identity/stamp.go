package identity

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"sync"
	"time"
)

// .NET counts time in ticks of 100 ns since the year 1.
const (
	ticksPerSecond = 10_000_000
	ticksAt1970    = 62_135_596_800 * ticksPerSecond
)

// generations makes generation ids: .NET ticks, as IoT Hub has them, always
// greater than the one before, also when the clock stands still or is set
// back. The zero value is ready.
type generations struct {
	mu   sync.Mutex
	last int64
}

func (g *generations) next(now time.Time) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	ticks := ticksAt1970 + now.Unix()*ticksPerSecond + int64(now.Nanosecond())/100
	g.last = max(ticks, g.last+1)
	return strconv.FormatInt(g.last, 10)
}

// timeOf is the time that a generation id tells, zero if it tells none.
func timeOf(generation string) time.Time {
	ticks, err := strconv.ParseUint(generation, 10, 63)
	if err != nil {
		return time.Time{}
	}
	seconds, rest := int64(ticks)/ticksPerSecond, int64(ticks)%ticksPerSecond
	return time.Unix(seconds-ticksAt1970/ticksPerSecond, rest*100).UTC()
}

// An etag is a decimal counter in base64, as the real hub's is. It begins
// anywhere, so that the etag of a deleted identity does not fit its successor,
// and goes up by one with every write.

func firstETag() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails; see crypto/rand
	return etagOf(uint64(binary.BigEndian.Uint32(b[:])))
}

func nextETag(etag string) string {
	b, err := base64.StdEncoding.DecodeString(etag)
	if err != nil {
		return firstETag()
	}
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return firstETag()
	}
	return etagOf(n + 1)
}

func etagOf(n uint64) string {
	return base64.StdEncoding.EncodeToString(strconv.AppendUint(nil, n, 10))
}

// CreatedTime is the time that a generation id tells, zero if it tells none.
func CreatedTime(generation string) time.Time { return timeOf(generation) }
