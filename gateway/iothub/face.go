package iothub

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/span"
	"github.com/hubgate/hubgate/telemetry"
	"github.com/hubgate/hubgate/timeline"
	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/twin"
)

// Face is IoT Hub's device protocol. Set the fields before use; they must not
// change afterwards.
type Face struct {
	HostName  string   // the hub's name, as devices dial it
	Aliases   []string // other names that user names and tokens may have
	Devices   Devices
	Policies  Policies
	Trust     *trust.Pool // who vouches for devices; nil: nobody
	Telemetry telemetry.Sink
	Twins     *twin.Twins
	C2D       *c2d.Queues // nil: devices get no messages
	// DiscardC2D rejects what waits for a device that connects without a
	// subscription to its messages in its session, as IoT Hub does.
	DiscardC2D bool
	// ReplayDesired sends a client all its desired properties when it connects
	// with the subscription, or subscribes. IoT Hub does not.
	ReplayDesired bool
	// MaxCalls is how many calls of direct methods may wait for the answers of
	// one device or module. 0: 1000.
	MaxCalls int
	Renewal  *Renewal           // nil: the hub issues no certificates
	Timeline *timeline.Recorder // nil: nobody asks why
	Limiter  *gateway.Limiter   // nil: no rate is limited
	Tracer   span.Tracer        // nil: nothing is traced
	Log      zerolog.Logger
	Now      func() time.Time // nil: time.Now

	// Callable is told that direct methods of id can be called from now on. It
	// does not block. nil: nobody is told.
	Callable func(id hub.Identity)

	messages    messages
	counts      counters
	lateAnswers atomic.Uint64
	changes     atomic.Uint32 // of identities and policies that this node has heard of
}

// LateAnswers is how many answers of direct methods came when nobody waited
// for them any more.
func (f *Face) LateAnswers() uint64 { return f.lateAnswers.Load() }

// Devices looks up identities; [identity.Registry] does.
type Devices interface {
	Get(ctx context.Context, id hub.Identity) (identity.Record, error)
}

// Policies looks up shared access policies.
type Policies interface {
	Lookup(name string) (sas.Policy, bool)
}

var _ gateway.Face = (*Face)(nil)

// Profile implements [gateway.Face]. The C SDK puts + and # into topics, and
// ids, which stand in filters, may hold them.
func (f *Face) Profile() gateway.Profile {
	return gateway.Profile{Versions: versions[:], Lenient: true}
}

// versions is what IoT Hub speaks.
//
//nolint:gochecknoglobals // a constant
var versions = [...]mqtt.Version{mqtt.V311}

func (f *Face) now() time.Time {
	if f.Now != nil {
		return f.Now()
	}
	return time.Now()
}

// isOurs reports whether host, without port, names this hub.
func (f *Face) isOurs(host string) bool {
	if strings.EqualFold(host, f.HostName) {
		return true
	}
	for _, alias := range f.Aliases {
		if strings.EqualFold(host, alias) {
			return true
		}
	}
	return false
}

// messages holds the messages that nobody decodes into now.
type messages struct{ pool sync.Pool }

func (p *messages) get() *telemetry.Message {
	if m, ok := p.pool.Get().(*telemetry.Message); ok {
		return m
	}
	return new(telemetry.Message)
}

func (p *messages) put(m *telemetry.Message) {
	m.Reset()
	p.pool.Put(m)
}
