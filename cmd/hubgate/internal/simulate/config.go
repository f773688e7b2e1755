package simulate

import (
	"fmt"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Config says what a fleet does.
type Config struct {
	Devices int
	First   int    // number of the first device
	Prefix  string // of their ids
	SDK     SDK
	Profile Profile

	Rate  float64 // messages per second of each device, on average
	Size  int     // bytes of a body
	Twins time.Duration
	TTL   time.Duration // of tokens

	Duration time.Duration // 0: until the context ends
	Connects float64       // per second, at the start

	Storm  time.Duration // between two storms
	Upset  time.Duration // between two upsets of a device, on average
	Period time.Duration // of a day

	Seed uint64
}

// Limits of a configuration.
const (
	MinSize = 64
	MaxSize = 255 << 10 // IoT Hub takes 256 KiB, properties included
	maxRate = 1000
	minTTL  = 10 * time.Second
	// minConnects keeps the time until the last of many devices countable.
	minConnects = 0.001
	// widest is how many digits the number of a device has at most.
	widest = 10
)

// Check says what is wrong with c, naming flags.
func (c Config) Check() error {
	switch {
	case c.Devices < 1:
		return fmt.Errorf("--devices is %d: there must be one at least", c.Devices)
	case c.First < 1:
		return fmt.Errorf("--first is %d: devices are numbered from 1", c.First)
	case !hub.ValidID(c.Prefix) || len(c.Prefix)+widest > hub.MaxIDLength:
		return fmt.Errorf("--prefix %.200q can't begin a device id: use 1 to %d characters of A-Z a-z 0-9 and -:.+%%_#*?!(),=@;$'", c.Prefix, hub.MaxIDLength-widest)
	case !(c.Rate >= 0 && c.Rate <= maxRate): // NaN is neither
		return fmt.Errorf("--rate is %v: give messages per second of one device, from 0 (none) to %d, such as 0.1 for one in ten seconds", c.Rate, maxRate)
	case c.Size < MinSize || c.Size > MaxSize:
		return fmt.Errorf("--size is %d: a body has %d to %d bytes, for IoT Hub takes 256 KiB with all properties", c.Size, MinSize, MaxSize)
	case !(c.Connects >= minConnects):
		return fmt.Errorf("--connect-rate is %v: give connects per second, %v at least, such as 200", c.Connects, minConnects)
	case c.TTL < minTTL:
		return fmt.Errorf("--token-ttl is %v: a token that is valid for less than %v is replaced all the time", c.TTL, minTTL)
	}
	return c.checkProfile()
}

// checkProfile is Check of what belongs to one profile.
func (c Config) checkProfile() error {
	positive := func(name string, d time.Duration) error {
		if d < time.Second {
			return fmt.Errorf("--%s is %v: give 1s at least", name, d)
		}
		return nil
	}
	switch c.Profile {
	case Storm:
		return positive("storm-every", c.Storm)
	case Flaky:
		return positive("upset-every", c.Upset)
	case Diurnal:
		return positive("period", c.Period)
	case Steady:
		return nil
	}
	return fmt.Errorf("--profile %q is none of steady, storm, diurnal and flaky", c.Profile)
}

// IDs are the ids of the devices.
func (c Config) IDs() []string {
	ids := make([]string, c.Devices)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%06d", c.Prefix, c.First+i)
	}
	return ids
}
