package rest

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// defaultTime bounds a request whose route says nothing else.
const defaultTime = 30 * time.Second

// statusLeft counts requests whose client has left before its answer, which nobody
// reads any more: by nginx's number, for HTTP has none.
const statusLeft = 499

// serve takes one request from its path to its answer.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) { s.conclude(w, r, s.answer) }

// Refuse answers a request, which is not looked into, with an error.
func (s *Server) Refuse(w http.ResponseWriter, r *http.Request, why error) {
	s.init()
	s.conclude(w, r, func(*call) (reply, error) { return reply{}, why })
}

// conclude sends the answer to a request, counts it and notes it.
func (s *Server) conclude(w http.ResponseWriter, r *http.Request, answer func(*call) (reply, error)) {
	c := &call{r: r, control: http.NewResponseController(w), begun: s.now(), request: newRequestID(), read: r.ContentLength == 0}
	out, err := answer(c)
	if err != nil {
		out = c.refusal(err)
	}
	if c.left {
		out.status = statusLeft
	}
	c.send(w, &out)
	s.counts.add(c, out.status, s)
	s.note(c, out, err)
}

// answer decides, in this order, whether there is room, what is asked for, in
// which version, and by whom; then the feature answers. A panic is a fault of
// this request and of no other.
func (s *Server) answer(c *call) (out reply, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			s.Log.Error().Interface("panic", fault).Str("request", c.request).Bytes("stack", debug.Stack()).Msg("a request has met a fault of the gateway")
			out, err = reply{}, hub.Errorf(hub.ServerError, "the gateway has a fault here; its log has the request %s", c.request)
		}
	}()
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	default:
		return reply{}, hub.Errorf(hub.Throttled, "the gateway works on %d requests, and takes no more", s.MaxRequests)
	}
	if err := c.find(s.table); err != nil {
		return reply{}, err
	}
	if err := c.checkVersion(); err != nil {
		return reply{}, err
	}
	if err := s.authorize(c); err != nil {
		return reply{}, err
	}
	if !s.has(c.route.feature) {
		return reply{}, hub.Errorf(hub.NotSupported, "this hub does not offer %s", c.route.feature)
	}
	longest := c.route.time
	if longest == 0 {
		longest = defaultTime
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), longest)
	defer cancel()
	c.r = c.r.WithContext(ctx)
	if out, err = c.route.handle(s, c); err == nil {
		return out, nil
	}
	if why, ok := errors.AsType[*hub.Error](context.Cause(ctx)); ok { // of the end of all requests
		return reply{}, why
	}
	if c.left = errors.Is(context.Cause(ctx), context.Canceled); c.left {
		return reply{}, &hub.Error{Code: hub.GatewayTimeout, Message: "the client has left before its answer", Err: err}
	}
	return reply{}, err
}

// note writes the access log: every request at debug, what is refused at info
// as far as that is not too much. What a request holds is in neither.
func (s *Server) note(c *call, out reply, err error) {
	e := s.Log.Debug()
	if out.status >= http.StatusBadRequest && !c.told && !c.left && s.tell.Allow() {
		e = s.Log.Info()
	}
	if e = e.Str("remote", c.r.RemoteAddr).Str("verb", c.verb).Str("by", c.by).Int("status", out.status).
		Str("request", c.request).Dur("took", s.now().Sub(c.begun)); !e.Enabled() {
		e.Discard()
		return
	}
	if c.route != nil {
		e = e.Str("route", c.route.pattern)
	}
	if c.id.Device != "" {
		e = e.Str("device_id", c.id.Device).Str("module_id", c.id.Module)
	}
	if err != nil {
		e = e.Int("code", int(hub.CodeOf(err))).Str("reason", sentence(err)).AnErr("cause", cause(err))
	}
	e.Msg("request")
}
