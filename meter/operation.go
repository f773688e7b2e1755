package meter

import (
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Outcome is how an operation ended, in the few words that a dashboard needs.
// The timeline has the code and the sentence.
type Outcome uint8

// The outcomes.
const (
	Success   Outcome = iota
	Refused           // whoever asked has to change something
	Throttled         // a limit was exceeded
	Failed            // the gateway or NATS could not
	outcomes
)

// String is the outcome as a label.
func (o Outcome) String() string {
	return [...]string{"success", "refused", "throttled", "failed"}[o]
}

// OutcomeOf says how what returned err ended.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Success
	}
	return OutcomeOfStatus(hub.CodeOf(err).Status())
}

// OutcomeOfStatus is OutcomeOf for an HTTP status.
func OutcomeOfStatus(status int) Outcome {
	const refused, throttled, failed = 400, 429, 500
	switch {
	case status < refused:
		return Success
	case status == throttled:
		return Throttled
	case status < failed:
		return Refused
	default:
		return Failed
	}
}

// Operation counts how something ends that is done again and again, and how long
// it takes. The zero value is ready.
type Operation struct {
	ended [outcomes]atomic.Uint64
	took  Histogram
}

// Done counts an operation that has begun at a time and returned err.
func (o *Operation) Done(began time.Time, err error) {
	o.Add(OutcomeOf(err), time.Since(began))
}

// Add counts an operation.
func (o *Operation) Add(how Outcome, took time.Duration) {
	o.ended[how].Add(1)
	o.took.Observe(took)
}

// Operated is what an Operation has counted.
type Operated struct {
	Ended map[string]uint64 // by outcome
	Took  Durations
}

// Counts returns what was counted so far, for every outcome.
func (o *Operation) Counts() Operated {
	all := Operated{Ended: make(map[string]uint64, outcomes), Took: o.took.Durations()}
	for how := range outcomes {
		all.Ended[how.String()] = o.ended[how].Load()
	}
	return all
}
