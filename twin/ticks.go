package twin

import "time"

// ticks is a time in units of 100 ns since the year 1, as .NET counts it; 0 is
// what IoT Hub prints for never.
type ticks int64

const (
	ticksPerSecond = 10_000_000
	secondsAt1970  = 62_135_596_800
)

func ticksOf(t time.Time) ticks {
	if t.IsZero() {
		return 0
	}
	return ticks((t.Unix()+secondsAt1970)*ticksPerSecond + int64(t.Nanosecond())/100)
}

func (t ticks) time() time.Time {
	return time.Unix(int64(t)/ticksPerSecond-secondsAt1970, int64(t)%ticksPerSecond*100).UTC()
}

// appendTime appends t as a JSON string with as many digits as it needs, 7 at
// most.
func appendTime(dst []byte, t ticks) []byte {
	dst = append(dst, '"')
	dst = t.time().AppendFormat(dst, "2006-01-02T15:04:05.9999999Z")
	return append(dst, '"')
}

// parseTime reads what appendTime has written; what is no time is never.
func parseTime(s string) ticks {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0
	}
	return ticksOf(t)
}
