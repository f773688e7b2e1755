package gateway

import (
	"context"
	"crypto/tls"
	"hash/maphash"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/timeline"
)

// storeTimeout bounds each operation on the session store.
const storeTimeout = 10 * time.Second

// Server accepts connections for a face. Set the fields, then call the Serve
// methods; the fields must not change afterwards.
type Server struct {
	Face     Face
	Sessions session.Store
	Events   session.Events
	Node     string             // this node's name, as sessions and events tell it
	Timeline *timeline.Recorder // nil: nobody asks why
	TLS      *tls.Config
	Log      zerolog.Logger
	Limits   Limits   // zero fields take their default
	Limiter  *Limiter // nil: no rate is limited

	// Room is how many messages of an identity the store would take now; nil: any
	// number.
	Room func(hub.Identity) int

	// Penalty is for peers with bad credentials.
	Penalty Penalty

	start    sync.Once
	gate     gate
	turns    *turns
	offences penalties
	tarpit   tarpit
	memory   budget

	connections atomic.Int64 // as in Limits, or as adjusted
	live        live
	claiming    claiming
	duels       duels
	inboxes     inboxes
	outputs     outputs
	workers     *workers
	writes      *line // of connections that have something to send
	reads       *line // of watched connections that have something to read
	pollers     pollers
	rounds      *rounds
	logLimit    logLimit

	listeners listeners
	draining  atomic.Bool
	refusals  atomic.Uint64
	counts    counters
}

// Limits bounds what peers may use. The zero value of a field means its
// default.
type Limits struct {
	// MaxPacket is the largest packet in bytes. Default: 256 KiB of message,
	// 64 KiB of topic and the headers. A CONNECT may have 64 KiB at most.
	MaxPacket int
	// HandshakeTimeout bounds the TLS handshake. Default 10 s.
	HandshakeTimeout time.Duration
	// ConnectTimeout bounds the time from then to CONNACK. Default 30 s.
	ConnectTimeout time.Duration
	// HalfOpen is how many peers may be in a handshake. Default 4096.
	HalfOpen int
	// Connections is how many clients may be connected. Default: no limit.
	Connections int
	// Window is how many PUBLISH packets of one connection may wait for the
	// store; then the connection is read no further. Default 64.
	Window int
	// WindowBytes is the same in bytes; one packet always fits. Default 1 MiB.
	WindowBytes int
	// WriteTimeout is how long a client may take to read what it is sent.
	// Default 10 s.
	WriteTimeout time.Duration
	// Memory is how many bytes unfinished packets and unread output may take of
	// all connections; then those go who hold most. Default 512 MiB; below 0: no
	// limit.
	Memory int64
	// Duplicates is what happens to clients who fight for one identity. Default:
	// the newest stays.
	Duplicates Duplicates
	// Quarantine is for how long nobody is let in with [NobodyStays]. Default
	// 5 min.
	Quarantine time.Duration
}

// maxSilence is IoT Hub's cap on one and a half times the keep-alive.
const maxSilence = 1767 * time.Second

// maxSlack is by how much a silent client may be cut late.
const maxSlack = 5 * time.Second

// defaultMemory is the default of Limits.Memory.
const defaultMemory = 512 << 20

func (l *Limits) setDefaults() {
	setDefault(&l.MaxPacket, 256<<10+64<<10+16)
	setDefault(&l.HandshakeTimeout, 10*time.Second)
	setDefault(&l.ConnectTimeout, 30*time.Second)
	setDefault(&l.HalfOpen, 4096)
	setDefault(&l.Window, 64)
	setDefault(&l.WindowBytes, 1<<20)
	setDefault(&l.WriteTimeout, 10*time.Second)
	setDefault(&l.Memory, defaultMemory)
	setDefault(&l.Quarantine, 5*time.Minute)
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// init prepares the server at the first Serve.
func (s *Server) init() {
	s.start.Do(func() {
		s.Limits.setDefaults()
		s.counts.began = time.Now()
		s.gate.limit = s.Limits.HalfOpen
		s.connections.Store(int64(s.Limits.Connections))
		s.memory.limit.Store(max(s.Limits.Memory, 0))
		s.duels.policy, s.duels.quarantine = s.Limits.Duplicates, s.Limits.Quarantine
		s.workers, s.rounds = newWorkers(), newRounds()
		s.writes, s.reads = newLine(s.workers, (*conn).flush), newLine(s.workers, (*conn).turn)
		s.pollers.reads = s.reads
		s.turns = newTurns()
		s.offences.seed = maphash.MakeSeed()
		s.offences.set(s.Penalty)
		s.tarpit.places = min(tarpitPlaces, int64(s.Limits.HalfOpen/tarpitShare))
	})
}

// prepare sets a decoder up for a connection of version v, 0 before CONNECT.
func (s *Server) prepare(d *mqtt.Decoder, v mqtt.Version) {
	d.Version = v
	d.From = mqtt.FromClient
	d.MaxPacket = s.Limits.MaxPacket
	d.LenientTopics = s.Face.Profile().Lenient
	d.LenientFilters = d.LenientTopics
}

// Check asks check about each connection of a device and of its modules, and
// closes those for which it returns an error. It is for changes of identities.
func (s *Server) Check(device string, check func(hub.Identity, Handler) error) {
	for _, c := range s.live.of(device) {
		if err := check(c.session.ID, c.handler); err != nil {
			c.stop(err)
		}
	}
}

// CheckAll is Check for the connections of all devices. It is for changes of
// what is the whole hub's.
func (s *Server) CheckAll(check func(hub.Identity, Handler) error) {
	for _, c := range s.live.all() {
		if err := check(c.session.ID, c.handler); err != nil {
			c.stop(err)
		}
	}
}

// Handler returns the handler of the connection of id on this node, nil when
// there is none.
func (s *Server) Handler(id hub.Identity) Handler {
	if c := s.live.get(id); c != nil {
		return c.handler
	}
	return nil
}

// Displaced tells the server that somebody has claimed an identity, or has ended
// its connection in its node's place. A connection of an older epoch ends.
func (s *Server) Displaced(claim session.Claim) {
	s.claiming.heard(claim)
	if c := s.live.get(claim.ID); c != nil {
		c.displacedBy(claim)
	}
}

// displacedBy ends a connection of an older epoch than a claim's.
func (c *conn) displacedBy(claim session.Claim) {
	if c.session.Epoch >= claim.Epoch {
		return
	}
	if claim.Connection == "" {
		c.stop(errFenced)
		return
	}
	c.stop(errReplaced)
}

// Fenced ends all connections: the other nodes have taken this one for dead, and
// what its connections owned they own no more. The devices may come back at once.
func (s *Server) Fenced() {
	s.claiming.fence()
	for _, c := range s.live.all() {
		c.stop(errFenced)
	}
}

// Connected is the number of clients now.
func (s *Server) Connected() int { return s.live.len() }

// HalfOpen is the number of peers that are in a handshake now.
func (s *Server) HalfOpen() int {
	s.init()
	return s.gate.waiting()
}

// Refused is the number of peers that were turned away so far, for whatever
// reason.
func (s *Server) Refused() uint64 {
	return s.refusals.Load() + s.gate.evicted() + s.offences.turned.Load()
}

// Shutdown is [Server.Drain] in one wave.
func (s *Server) Shutdown(ctx context.Context) error { return s.Drain(ctx, 0) }

// listeners are the listeners that Serve methods run on.
type listeners struct {
	mu     sync.Mutex
	all    []net.Listener
	closed bool
}

// add reports whether ln may be used; after close it may not.
func (l *listeners) add(ln net.Listener) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, ln)
	return !l.closed
}

func (l *listeners) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, ln := range l.all {
		_ = ln.Close()
	}
}

func (l *listeners) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
