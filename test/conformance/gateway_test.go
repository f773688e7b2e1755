package conformance

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

type (
	identity = hubtest.Identity
	event    = hubtest.Event
	session  = hubtest.Session
)

// gateway is a running hubgate process whose failures are those of a test.
type gateway struct {
	*hubtest.Gateway
	t *testing.T
}

// startGateway runs hubgate with the standard ports on a loopback address of its
// own until the end of t. It skips t where the ports can't be bound.
func startGateway(t *testing.T, flags ...string) *gateway {
	t.Helper()
	return startWith(t, append([]string{"--host", freeAddress(t)}, flags...)...)
}

// startWith runs hubgate with exactly these flags, a data directory and any free
// port for NATS.
func startWith(t *testing.T, flags ...string) *gateway {
	t.Helper()
	return &gateway{Gateway: hubtest.Start(t, hubtest.Options{Flags: flags}), t: t}
}

// in returns the gateway for a subtest, whose failures are then its own.
func (g *gateway) in(t *testing.T) *gateway { return &gateway{Gateway: g.Gateway, t: t} }

// restart ends the process by a signal and starts it again on the same data.
func (g *gateway) restart(sig syscall.Signal) {
	g.t.Helper()
	g.Restart(g.t, sig)
}

// cli runs a hubgate command against the running gateway and returns its output.
func (g *gateway) cli(args ...string) []byte {
	g.t.Helper()
	return g.CLI(g.t, args...)
}

// create makes a device ("dev") or module ("dev/mod") by the CLI.
func (g *gateway) create(id string) identity {
	g.t.Helper()
	return g.Create(g.t, id)
}

// sas asks the CLI for a token.
func (g *gateway) sas(device string, ttl time.Duration) string {
	g.t.Helper()
	return g.SAS(g.t, device, ttl)
}

// messages reads the telemetry of one identity from the stream's beginning until
// it has n messages and the stream holds no more.
func (g *gateway) messages(id string, n int) []jetstream.Msg {
	g.t.Helper()
	return g.Messages(g.t, id, n)
}

// awaitEvents waits until the connection events of an identity satisfy enough, and
// returns them all.
func (g *gateway) awaitEvents(id, what string, enough func([]event) bool) []event {
	g.t.Helper()
	return g.AwaitEvents(g.t, id, what, enough)
}

// awaitEnd waits for the end of a connection of an identity that matches.
func (g *gateway) awaitEnd(id, what string, match func(event) bool) event {
	g.t.Helper()
	ended := func(e event) bool { return !e.Connected() && match(e) }
	events := g.awaitEvents(id, what, func(events []event) bool { return slices.ContainsFunc(events, ended) })
	return events[slices.IndexFunc(events, ended)]
}

// presence waits until the session of an identity satisfies match.
func (g *gateway) presence(id, what string, match func(session) bool) session {
	g.t.Helper()
	return g.AwaitSession(g.t, id, what, match)
}

// freeAddress returns a loopback address whose ports 443 and 8883, which the SDKs
// have built in, can be bound.
func freeAddress(t *testing.T) string {
	t.Helper()
	return hubtest.FreeAddress(t, 443, 8883)
}
