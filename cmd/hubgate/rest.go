package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway/rest"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// serviceAPI wires the service REST API.
func (n *node) serviceAPI() *rest.Server {
	return &rest.Server{
		HostName: n.cfg.Hub.Host, Aliases: n.cfg.Hub.Aliases, Log: n.log,
		Policies: n.policies, Bearer: n.bearer(), Peers: n.gateway.Visitors(),
		MaxRequests: n.cfg.API.MaxRequests,
		Registry:    n.registry, Presence: n.back.Fleet(),
		Jobs:     n.jobs,
		Twins:    n.twins,
		Fleet:    n.back.Fleet(),
		Methods:  callers{n},
		Messages: n.mail(),
		Feedback: n.back.Feedback(),

		Configurations: n.configs,
	}
}

// callers is who calls direct methods by HTTP. The service that makes the calls
// begins after the API is wired and before a request comes.
type callers struct{ node *node }

// Invoke implements [rest.Invoker].
func (c callers) Invoke(ctx context.Context, call methods.Call) (methods.Answer, error) {
	return c.node.methods.Invoke(ctx, call)
}

// mail is how messages come into the queues of devices: as those of any back
// end, by the package that these use. It is nil when there is no way.
func (n *node) mail() rest.Mail {
	c, err := client.New(n.back.Conn(), client.Options{Prefix: n.cfg.NATS.Prefix, Domain: n.cfg.NATS.Domain})
	if err != nil {
		n.log.Error().Err(err).Msg("the API takes no cloud-to-device messages")
		return nil
	}
	return committedMail{c.C2D(), n.back}
}

// committedMail is rest.Mail that returns when a message is as durable as the hub
// promises: the package for back ends knows of no more than JetStream does.
type committedMail struct {
	rest.Mail
	back *backend.Backbone
}

// Send implements [rest.Mail].
func (m committedMail) Send(ctx context.Context, message c2d.Message) (c2d.Message, error) {
	sent, err := m.Mail.Send(ctx, message)
	if late := m.back.Committed(ctx); late != nil {
		return c2d.Message{}, late
	}
	return sent, err
}

// bearer is the issuer of bearer tokens, nil when there is none. His keys are
// followed as long as the node runs.
func (n *node) bearer() *rest.Bearer {
	c := n.cfg.Auth.OIDC
	if c.Issuer == "" {
		return nil
	}
	roles, _ := c.Permissions() // Complete has refused what is wrong
	b := &rest.Bearer{
		Issuer: c.Issuer, Audiences: c.Audiences, Claims: c.Claims, Roles: roles,
		Keys: &rest.KeySet{URL: c.JWKSURL, File: c.JWKSFile, Refresh: time.Duration(c.Refresh), Log: n.log},
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.onStop(func(context.Context) { cancel() })
	go b.Keys.Run(ctx)
	return b
}

// apiDoor lets requests to the API in as long as the node runs, and no request
// outlive it.
type apiDoor struct {
	handler http.Handler
	refuse  func(http.ResponseWriter, *http.Request, error)
	idle    *idleConns
	base    context.Context //nolint:containedctx // of all requests; ends with the node
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // closed when closed and nobody is inside
}

func newAPIDoor(api *rest.Server, c config.API) *apiDoor {
	d := &apiDoor{handler: api.Handler(), refuse: api.Refuse, idle: &idleConns{limit: fitIdle(c.MaxIdle, openFiles())}, empty: make(chan struct{})}
	d.base, d.cancel = context.WithCancelCause(context.Background())
	return d
}

// fitIdle leaves file descriptors to devices, where there are few.
func fitIdle(idle, most int) int {
	const share = 16
	if most <= 0 {
		return idle
	}
	return min(idle, most/share)
}

// context is for http.Server.BaseContext.
func (d *apiDoor) context(net.Listener) context.Context { return d.base }

// ServeHTTP implements http.Handler.
func (d *apiDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.enter() {
		d.refuse(w, r, hub.Errorf(hub.ServiceUnavailable, "the node stops, and takes no more requests; try again"))
		return
	}
	defer d.leave()
	d.handler.ServeHTTP(w, r)
}

func (d *apiDoor) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.inside++
	return true
}

func (d *apiDoor) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside--; d.closed && d.inside == 0 {
		close(d.empty)
	}
}

// shut lets nobody in any more.
func (d *apiDoor) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed && d.inside == 0 {
		close(d.empty)
	}
	d.closed = true
}

// How long requests may go on when the node stops, and how long their handlers
// may take to notice that they may not.
const (
	requestGrace = 3 * time.Second
	cancelGrace  = time.Second
)

// close ends all requests: those that are quick get their answer, the others
// hear that the node stops, and all connections end.
func (d *apiDoor) close(web *http.Server) {
	web.SetKeepAlivesEnabled(false)
	d.shut()
	if !d.within(requestGrace) {
		d.cancel(hub.Errorf(hub.ServiceUnavailable, "the node stops, and could not wait for this to end; try again"))
		d.within(cancelGrace)
	}
	d.cancel(nil)
	_ = web.Close()
}

// within reports whether all requests have ended in time.
func (d *apiDoor) within(most time.Duration) bool {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-d.empty:
		return true
	case <-t.C:
		return false
	}
}
