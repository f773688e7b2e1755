package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that may be written with days: 7d, 36h, 1d12h.
type Duration time.Duration

// Second is the unit in which durations are written here.
const Second = Duration(time.Second)

const day = 24 * time.Hour

// UnmarshalText implements encoding.TextUnmarshaler. A duration is never
// negative.
func (d *Duration) UnmarshalText(text []byte) error {
	wrong := fmt.Errorf("%s is not a duration such as 30s, 12h or 7d", shown(string(text)))
	rest := string(text)
	var total time.Duration
	if days, after, ok := strings.Cut(rest, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return wrong
		}
		total, rest = time.Duration(n)*day, after
		if rest == "" {
			*d = Duration(total)
			return nil
		}
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || more > math.MaxInt64-total {
		return wrong
	}
	*d = Duration(total + more)
	return nil
}

// String writes the duration as it may be read.
func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t == 0:
		return "0"
	case t%day == 0:
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	s := t.String() // such as 1h30m0s
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// Bytes is a number of bytes, which may be written with a unit: 256KiB, 10GiB;
// KB, MB and GB are powers of 1000.
type Bytes int64

// Units of Bytes.
const (
	KiB Bytes = 1 << 10
	MiB       = KiB << 10
	GiB       = MiB << 10
	TiB       = GiB << 10
)

// unit is a suffix of a number of bytes.
type unit struct {
	name string
	size Bytes
}

// units returns the suffixes, each before one that it ends with.
func units() []unit {
	return []unit{
		{"TiB", TiB},
		{"GiB", GiB},
		{"MiB", MiB},
		{"KiB", KiB},
		{"TB", 1e12},
		{"GB", 1e9},
		{"MB", 1e6},
		{"KB", 1e3},
		{"kB", 1e3},
		{"B", 1},
		{"", 1},
	}
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error {
	for _, u := range units() {
		digits, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/int64(u.size) {
			break
		}
		*b = Bytes(n) * u.size
		return nil
	}
	return fmt.Errorf("%s is not a number of bytes such as 4096, 256KiB or 10GiB", shown(string(text)))
}

// String writes the number with the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range units()[:4] {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
