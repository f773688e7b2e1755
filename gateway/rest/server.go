package rest

import (
	"net/http"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/jobs"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/twin"
)

// Server answers requests of operators and back ends. Set the fields before
// use; they must not change afterwards. A nil feature is answered with
// FeatureNotSupported.
type Server struct {
	HostName string   // the hub's name, as tokens have it
	Aliases  []string // other names that tokens may have
	Policies Policies
	Bearer   *Bearer // who issues JWTs for this hub; nil: nobody
	Peers    Peers   // nil: bad credentials cost nothing

	Registry *identity.Registry
	Presence Presence // nil: everybody is offline
	Twins    *twin.Twins
	Fleet    Fleet
	Methods  Invoker
	Messages Mail
	Feedback Feedback

	// Jobs is scheduled jobs.
	Jobs *jobs.Jobs

	Configurations *configuration.Service

	// MaxRequests is how many requests may be worked on; further ones are
	// refused with Throttled. 0: 1024.
	MaxRequests int
	Log         zerolog.Logger
	Now         func() time.Time // nil: time.Now

	start sync.Once
	table table
	busy  chan struct{} // a place for each request
	tell  *rate.Limiter // of lines about refusals

	counts requestCounts
}

// Policies looks up shared access policies.
type Policies interface {
	Lookup(name string) (sas.Policy, bool)
}

// Peers remembers who came with bad credentials. remote is an address with its
// port, client what the peer calls himself.
type Peers interface {
	// Refuses reports whether the peer is refused without a look at what he has.
	Refuses(remote, client string) bool
	// Failed notes bad credentials, and why they are.
	Failed(remote, client string, err error)
	// Welcome notes good ones.
	Welcome(remote, client string)
}

// Handler returns the handler of all paths that [Routes] lists. When the context of a
// request ends and its cause is a [hub.Error], as of a node that stops, that is the
// answer to what it has cut off.
func (s *Server) Handler() http.Handler {
	s.init()
	return http.HandlerFunc(s.serve)
}

const (
	defaultRequests = 1024
	linesPerSecond  = 5
	linesAtOnce     = 20
)

func (s *Server) init() {
	s.start.Do(func() {
		if s.MaxRequests <= 0 {
			s.MaxRequests = defaultRequests
		}
		s.busy = make(chan struct{}, s.MaxRequests)
		s.table = newTable(routes())
		s.tell = rate.NewLimiter(linesPerSecond, linesAtOnce)
	})
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}
