package gateway

import (
	"fmt"
	"time"
)

// Kind is something that devices may do so often and no more.
type Kind uint8

// What is limited. Messages and Bytes are slowed, C2D waits, all others are
// refused.
const (
	Connects    Kind = iota // CONNECT packets, of a node
	Messages                // PUBLISH packets to topics that do not begin with $
	Bytes                   // of all packets
	TwinReads               // requests for the twin
	TwinWrites              // patches of reported properties
	Methods                 // calls of direct methods
	MethodBytes             // their payload, in steps of [MethodMeter]
	C2D                     // deliveries of cloud-to-device messages
	kinds                   // how many there are
)

// MethodMeter is the step in which IoT Hub counts the payload of calls.
const MethodMeter = 4 << 10

// String is what the keys of the configuration, the timeline and the counters
// call the kind.
func (k Kind) String() string {
	return [...]string{"connects", "messages", "bytes", "twin_reads", "twin_writes", "methods", "method_bytes", "c2d"}[k]
}

// Rates are the limits in effect: so many a second, 0: as many as they like.
type Rates struct {
	// Device is for each device or module, Hub for all connections of this node
	// together. What the node has is shared out fairly: a connection that takes
	// no more than its equal part is never slowed or refused for the others.
	Device, Node [kinds]float64
	// Burst is the time whose worth may come at once. Default 1 s.
	Burst time.Duration
	// A connection is cut that tries more than AbuseFactor times what it may
	// without a break for AbuseAfter. Defaults 10 and 1 min; AbuseAfter below 0:
	// never. One that waits for its PUBACKs obeys, and is never cut.
	AbuseFactor float64
	AbuseAfter  time.Duration
}

// compiled is Rates as buckets need them: in nanoseconds of the rate.
type compiled struct {
	Rates

	device, node [kinds]float64 // for each unit; 0: no limit
	burst        int64
}

func compile(r Rates) *compiled {
	setDefault(&r.Burst, time.Second)
	setDefault(&r.AbuseAfter, time.Minute)
	if r.AbuseFactor == 0 {
		r.AbuseFactor = 10
	}
	c := &compiled{Rates: r, burst: int64(r.Burst)}
	for k := range kinds {
		c.device[k], c.node[k] = costOf(r.Device[k]), costOf(r.Node[k])
	}
	return c
}

func costOf(rate float64) float64 {
	if rate <= 0 {
		return 0
	}
	return float64(time.Second) / rate
}

// limits reports whether there is a limit of k.
func (c *compiled) limits(k Kind) bool { return c != nil && (c.device[k] > 0 || c.node[k] > 0) }

// bound is one limit.
type bound struct {
	*compiled

	kind Kind
	of   scope
}

// scope is whose limit it is.
type scope string

const (
	ofDevice scope = "device"
	ofNode   scope = "node"
)

// cost is the time in which the rate brings one unit, in nanoseconds.
func (b bound) cost() float64 {
	if b.of == ofNode {
		return b.node[b.kind]
	}
	return b.device[b.kind]
}

// String says which limit it is, for people.
func (b bound) String() string {
	rate, whose := b.Device[b.kind], "of one device"
	if b.of == ofNode {
		rate, whose = b.Node[b.kind], "of the node"
	}
	return fmt.Sprintf("%.6g %s a second %s (rates.%s_%s)", rate, b.kind.words(), whose, b.of, b.kind)
}

func (k Kind) words() string {
	return [...]string{
		"connects", "messages", "bytes", "twin reads", "twin writes", "method calls", "bytes of method calls", "cloud-to-device messages",
	}[k]
}
