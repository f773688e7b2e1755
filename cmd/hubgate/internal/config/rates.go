package config

import (
	"fmt"
	"net/netip"
	"strconv"
)

// Rates is what devices may do, and how often.
type Rates struct {
	Units int `key:"units" doc:"How many units of IoT Hub the profiles strict-azure-s1, -s2 and -s3 stand for, 1 to 200."`

	NodeConnects    Rate `key:"node_connects" doc:"CONNECT packets of all clients of this node; the next one is answered by CONNACK 3."`
	NodeMessages    Rate `key:"node_messages" doc:"Messages of all devices of this node; then those are read more slowly that send more than their equal part."`
	NodeBytes       Rate `key:"node_bytes" doc:"The same for the bytes of all packets, such as 10MiB/s."`
	NodeTwinReads   Rate `key:"node_twin_reads" doc:"Requests of all devices for their twins; then those are answered by 429 that ask for more than their equal part."`
	NodeTwinWrites  Rate `key:"node_twin_writes" doc:"The same for patches of reported properties."`
	NodeMethods     Rate `key:"node_methods" doc:"Calls of direct methods of all devices of this node; then calls fail with 429001 of devices that have had more than their equal part."`
	NodeMethodBytes Rate `key:"node_method_bytes" doc:"The same for the payload of calls, counted in steps of 4 KiB."`
	NodeC2D         Rate `key:"node_c2d" doc:"Deliveries of cloud-to-device messages to all devices of this node; what is more waits."`

	DeviceMessages    Rate `key:"device_messages" doc:"Messages of one device or module; then it is read more slowly."`
	DeviceBytes       Rate `key:"device_bytes" doc:"The same for the bytes of its packets."`
	DeviceTwinReads   Rate `key:"device_twin_reads" doc:"Requests of one device or module for its twin; then it is answered by 429."`
	DeviceTwinWrites  Rate `key:"device_twin_writes" doc:"The same for patches of its reported properties."`
	DeviceMethods     Rate `key:"device_methods" doc:"Calls of direct methods of one device or module; then they fail with 429001."`
	DeviceMethodBytes Rate `key:"device_method_bytes" doc:"The same for the payload of calls, counted in steps of 4 KiB."`
	DeviceC2D         Rate `key:"device_c2d" doc:"Deliveries of cloud-to-device messages to one device; what is more waits."`

	Burst       Duration `key:"burst" doc:"How much may come at once: what the rate brings in this time, and always at least one."`
	AbuseFactor int      `key:"abuse_factor" doc:"A connection that goes on with more than so many times what it may, for rates.abuse_after without a break and in spite of being slowed or refused, is cut with 429001. One that waits for its acknowledgements obeys and is never cut."`
	AbuseAfter  Duration `key:"abuse_after" doc:"For how long. 0: nobody is cut."`
}

// tier is a tier of IoT Hub.
type tier int

// ratesOf lists what so many units of a tier have. IoT Hub has no limits for one
// device, and meters the payload of calls, not their number.
func ratesOf(t tier, units int) []preset {
	p := func(path, value string) preset { return preset{"rates." + path, value} }
	switch t {
	case 1:
		return []preset{
			p("node_connects", perSecond(max(100, 12*units), "")), p("node_messages", perSecond(max(100, 12*units), "")),
			p("node_twin_reads", "100/s"), p("node_twin_writes", "50/s"),
			p("node_method_bytes", perSecond(160*units, "KiB")), p("node_c2d", strconv.Itoa(100*units)+"/min"),
			{"jobs.max_active", "1"},
			{"jobs.device_rate", "10/s"},
		}
	case 2:
		return []preset{
			p("node_connects", perSecond(120*units, "")), p("node_messages", perSecond(120*units, "")),
			p("node_twin_reads", perSecond(max(100, 10*units), "")), p("node_twin_writes", perSecond(max(50, 5*units), "")),
			p("node_method_bytes", perSecond(480*units, "KiB")), p("node_c2d", strconv.Itoa(100*units)+"/min"),
			{"jobs.max_active", "5"},
			{"jobs.device_rate", perSecond(max(10, units), "")},
		}
	default:
		return []preset{
			p("node_connects", perSecond(6000*units, "")), p("node_messages", perSecond(6000*units, "")),
			p("node_twin_reads", perSecond(500*units, "")), p("node_twin_writes", perSecond(250*units, "")),
			p("node_method_bytes", perSecond(24*units, "MiB")), p("node_c2d", strconv.Itoa(5000*units)+"/min"),
			{"jobs.max_active", "10"},
			{"jobs.device_rate", perSecond(50*units, "")},
		}
	}
}

// maxUnits is how many units a hub of IoT Hub may have.
const maxUnits = 200

func (c *Config) checkRates() []error {
	r := &c.Rates
	var errs []error
	if r.Units < 1 || r.Units > maxUnits {
		errs = append(errs, c.wrong("rates.units", "%d is not from 1 to %d", r.Units, maxUnits))
	}
	if r.Burst < Second/10 || r.Burst > 3600*Second {
		errs = append(errs, c.wrong("rates.burst", "%v is not from 100ms to 1h", r.Burst))
	}
	if r.AbuseFactor < 2 {
		errs = append(errs, c.wrong("rates.abuse_factor", "%d is not 2 or more", r.AbuseFactor))
	}
	return append(errs, c.checkStorms()...)
}

// checkStorms refuses limits of what a crowd of peers may do.
func (c *Config) checkStorms() []error {
	var errs []error
	for _, text := range c.Limits.PenaltyExempt {
		if _, err := ParseNetwork(text); err != nil {
			errs = append(errs, c.wrong("limits.penalty_exempt", "%w", err))
		}
	}
	if l := c.Limits.Penalty; l > 0 && l < Second || l > 3600*Second {
		errs = append(errs, c.wrong("limits.penalty", "%v is not from 1s to 1h, nor 0 for none", l))
	}
	if m := c.Limits.Memory; m > 0 && m < MiB {
		errs = append(errs, c.wrong("limits.memory", "%v is not 1MiB or more, nor 0 for no limit", m))
	}
	if c.Limits.Drain > 3600*Second {
		errs = append(errs, c.wrong("limits.drain", "%v is not from 0 to 1h", c.Limits.Drain))
	}
	return errs
}

// ParseNetwork reads an IP address or a network such as 10.0.0.0/8.
func ParseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().Prefix(a.Unmap().BitLen())
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is neither an IP address nor a network such as 10.0.0.0/8", text)
	}
	return p.Masked(), nil
}
