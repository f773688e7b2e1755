package simulate

import (
	"math"
	"math/rand/v2"
	"time"
)

// Profile is how a fleet behaves as a whole.
type Profile string

// The profiles.
const (
	// Steady sends at an even rate.
	Steady Profile = "steady"
	// Storm is Steady, and loses all connections at once every now and then.
	Storm Profile = "storm"
	// Diurnal sends at a rate that follows a sine, from none to twice the mean.
	Diurnal Profile = "diurnal"
	// Flaky is Steady with bad networks: each device has an upset of its own now
	// and then.
	Flaky Profile = "flaky"
)

// upset is something that a bad network, or a bad device, does to a connection.
type upset int

const (
	cut      upset = iota // the connection is reset
	goodbye               // DISCONNECT, and back again
	halfOpen              // the network swallows the connection; the hub is not told
	slow                  // the device does not read for a while
	mute                  // another socket is opened, and says nothing
	upsets
)

const (
	slowLeast, slowMost = 2 * time.Second, 10 * time.Second
	halfOpenTime        = 30 * time.Second
	muteTime            = 5 * time.Second

	// Before the end of a run the profile leaves the fleet alone, so that how
	// many devices are connected then says something about the hub.
	calmShare = 0.2
	calmMost  = 30 * time.Second
)

// calm is how long before its end a run is left alone.
func (c Config) calm() time.Duration {
	return min(time.Duration(calmShare*float64(c.Duration)), calmMost)
}

// chance is the share of messages that are sent some time after the begin:
// Diurnal takes as many occasions as its peak needs, and leaves some of them.
func (c Config) chance(since time.Duration) float64 {
	if c.Profile != Diurnal {
		return 1
	}
	return (1 - math.Cos(2*math.Pi*since.Seconds()/c.Period.Seconds())) / 2
}

// interval is the time from one occasion to send to the next.
func (c Config) interval() time.Duration {
	rate := c.Rate
	if c.Profile == Diurnal {
		rate *= 2
	}
	if rate == 0 {
		return 0
	}
	return time.Duration(float64(time.Second) / rate)
}

// untilUpset is how long the next upset of a device is away; ok is false when
// there is none.
func (c Config) untilUpset(r *rand.Rand) (d time.Duration, ok bool) {
	if c.Profile != Flaky {
		return 0, false
	}
	return time.Duration(r.ExpFloat64() * float64(c.Upset)), true
}
