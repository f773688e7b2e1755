package gateway

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// accept reads CONNECT from src, answers it, and starts the connection. One that is not
// watched gets a goroutine of its own, whose stack the handshakes have not grown.
func (s *Server) accept(ctx context.Context, src source, peer Peer, t *ticket) {
	deadline := time.Now().Add(s.Limits.ConnectTimeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	_ = src.SetDeadline(deadline)

	in, connect, err := s.readConnect(src)
	if err != nil {
		s.refused(peer, t.explain(err))
		s.refuse(src, connect, err)
		s.inboxes.put(in)
		return
	}
	t.owe(true)
	began := time.Now()
	c, present, err := s.examine(ctx, src, peer, connect)
	s.counts.connects.Done(began, err)
	if err != nil {
		t.owe(false)
		s.refusedClient(peer, connect, err)
		s.refuse(src, connect, err)
		s.inboxes.put(in)
		return
	}
	t.leave()
	if known, ok := src.(interface{ settle() }); ok {
		known.settle()
	}
	c.begin(in, present)
}

// maxConnect is the largest CONNECT, a will included. It is less than other
// packets may have, because nobody knows yet who makes us hold it.
const maxConnect = 64 << 10

// readConnect reads the first packet, which must be CONNECT [MQTT3-3.1.0-1].
// connect is set when it could be read far enough for an answer.
func (s *Server) readConnect(src source) (in *inbox, connect *mqtt.Connect, err error) {
	var held int64 // beyond an inbox
	defer func() { s.memory.used.Add(-held) }()
	in = s.inboxes.get()
	s.prepare(&in.dec, 0)
	in.dec.MaxPacket = min(s.Limits.MaxPacket, maxConnect)
	for {
		b, err := in.frame()
		if err != nil {
			return in, nil, firstPacketError(err, in)
		}
		if b != nil {
			return s.decodeConnect(in, b)
		}
		if _, err := src.fill(in, &s.inboxes); err != nil {
			return in, nil, connectReadFailed(err, in)
		}
		if err := s.growHandshake(&held, in); err != nil {
			return in, nil, err
		}
	}
}

func (s *Server) decodeConnect(in *inbox, b []byte) (*inbox, *mqtt.Connect, error) {
	p, err := in.dec.Decode(b)
	if err != nil {
		if e, ok := errors.AsType[*mqtt.Error](err); ok && errors.Is(err, mqtt.ErrUnsupportedVersion) {
			return in, &mqtt.Connect{Version: mqtt.Version(e.Level)}, hub.Errorf(hub.InvalidProtocol, "%w", err)
		}
		return in, nil, protocolError(err)
	}
	connect, ok := p.(*mqtt.Connect)
	if !ok {
		return in, nil, hub.Errorf(hub.GenericBadRequest, "the first packet was %s, not CONNECT [MQTT3-3.1.0-1]", p.Type())
	}
	if !slices.Contains(s.Face.Profile().Versions, connect.Version) {
		return in, connect, hub.Errorf(hub.InvalidProtocol, "MQTT protocol level %d is not supported here", connect.Version)
	}
	return in, connect, nil
}

// firstPacketError explains bytes that are no MQTT.
func firstPacketError(err error, in *inbox) error {
	const tlsHandshake = 0x16
	if b := in.unread(); len(b) > 0 && b[0] == tlsHandshake {
		return hub.Errorf(hub.GenericBadRequest, "the peer speaks TLS, and this port takes MQTT without TLS")
	}
	return err
}

func connectReadFailed(err error, in *inbox) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && len(in.unread()) > 0:
		return hub.Errorf(hub.ConnectionLost, "CONNECT was begun and not finished in time")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return hub.Errorf(hub.ConnectionLost, "no CONNECT came in time")
	case errors.Is(err, io.EOF):
		return hub.Errorf(hub.ConnectionLost, "the peer left before its CONNECT was complete")
	default:
		return hub.Errorf(hub.ConnectionLost, "read CONNECT: %w", err)
	}
}

// admit authenticates, claims the identity and enters the connection into the
// live table. From then on the connection must be begun.
func (s *Server) admit(ctx context.Context, src source, peer Peer, connect *mqtt.Connect) (c *conn, present bool, err error) {
	if s.isFull() && !s.mayBeHere(connect) {
		return nil, false, errBusy
	}
	a, err := s.authenticate(ctx, connect, peer)
	if err != nil {
		return nil, false, &refusal{a.ID, err}
	}
	if s.isFull() && s.live.get(a.ID) == nil {
		return nil, false, &refusal{a.ID, errBusy}
	}
	if err := s.duels.refuse(a.ID, peer.Remote, time.Now(), func() bool { return s.occupied(ctx, a.ID) }); err != nil {
		return nil, false, &refusal{a.ID, err}
	}
	c = s.newConn(src, peer, connect, a)
	older, present, err := s.own(ctx, c)
	if err != nil {
		return nil, false, err
	}
	s.displace(c, older)
	return c, present, nil
}

// authenticate asks the face. A panic refuses this client and no other.
func (s *Server) authenticate(ctx context.Context, connect *mqtt.Connect, peer Peer) (a Admission, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.Log.Error().Interface("panic", r).Bytes("stack", debug.Stack()).Msg("a fault of the gateway kept a client out")
			a, err = Admission{}, hub.Errorf(hub.ServerError, "a fault of the gateway; its log has the details")
		}
	}()
	return s.Face.Admit(ctx, connect, peer)
}

// isFull reports whether there are as many connections as are allowed. Who is here
// already may come again all the same: he takes over from himself.
func (s *Server) isFull() bool {
	most := s.connections.Load()
	return most > 0 && int64(s.live.len()) >= most
}

// mayBeHere reports whether a client calls himself like somebody who is here. It is
// what can be known of him at no cost.
func (s *Server) mayBeHere(connect *mqtt.Connect) bool {
	id, err := hub.ParseIdentity(string(connect.ClientID))
	return err == nil && s.live.get(id) != nil
}

// own claims the identity and enters the connection into the live table. It
// returns the connection that has to go. A claim that another node has made
// meanwhile stops c, which must be begun all the same.
func (s *Server) own(ctx context.Context, c *conn) (older *conn, present bool, err error) {
	id := c.session.ID
	if last := s.live.get(id); last != nil {
		last.seeOff(ctx)
	}
	s.claiming.begin(id)
	c.session, present, err = s.Sessions.Claim(ctx, c.session)
	if err != nil {
		s.claiming.end(id)
		return nil, false, &refusal{id, hub.Errorf(hub.ServiceUnavailable, "claim the identity: %w", err)}
	}
	older, err = s.live.put(c)
	c.displacedBy(s.claiming.end(id))
	if err != nil {
		c.session.Untold = true
		if !c.release(time.Now(), err) { // somebody else tells its end
			s.Events.Connection(c.session.Began())
		}
		return nil, false, err
	}
	return older, present, nil
}

// displace ends the connection that c takes over from. One that has ended by
// itself does not make a duel.
func (s *Server) displace(c, older *conn) {
	switch {
	case older != nil && older.ended() == nil:
		older.stop(errReplaced)
		s.takenOver(c, older.peer.Remote)
	case older == nil && c.session.Displaced != "" && c.session.DisplacedNode != s.Node:
		s.takenOver(c, c.session.Displaced)
	}
}

// occupied reports whether a connection of id lives, here or elsewhere.
func (s *Server) occupied(ctx context.Context, id hub.Identity) bool {
	if c := s.live.get(id); c != nil {
		return c.ended() == nil
	}
	owned, err := s.Sessions.Get(ctx, id)
	return err == nil && owned.Connected && owned.Node != s.Node
}

func (s *Server) newConn(src source, peer Peer, connect *mqtt.Connect, a Admission) *conn {
	now := time.Now()
	c := &conn{
		srv: s, src: src, peer: origin{peer.Remote, peer.Transport}, handler: a.Handler, version: connect.Version,
		silence: silenceOf(connect.KeepAlive), expires: a.Expires, stale: a.Stale, started: now,
		session: session.Session{
			ID: a.ID, Generation: a.Generation, Persistent: !connect.CleanStart,
			Connected: true, Node: s.Node, Connection: nextConnectionID(now), Remote: peer.Remote,
			ClientAgent: a.ClientAgent, ModelID: a.ModelID, ConnectedTime: now, Will: a.Will,
		},
	}
	c.changed.L = &c.mu
	return c
}

// silenceOf is how long a client with this keep-alive, in seconds, may be
// silent: one and a half times as long [MQTT3-3.1.2-24], capped as IoT Hub
// does, and some slack.
func silenceOf(keepAlive uint16) time.Duration {
	d := time.Duration(keepAlive) * 3 * time.Second / 2
	if d == 0 || d > maxSilence {
		d = maxSilence
	}
	return d + min(d/16, maxSlack)
}

// begin answers CONNECT and starts to read.
func (c *conn) begin(in *inbox, present bool) {
	watched := c.watched()
	c.srv.counts.begun(c) // whoever has read CONNACK finds himself counted
	if err := c.greet(present); err != nil {
		c.stop(writeFailed(err))
	}
	if out, ok := c.handler.(Outbound); ok {
		out.Attach(c)
	}
	c.srv.Events.Connection(c.session.Began())
	c.srv.logBegin(c, present)
	if len(in.unread()) == 0 {
		c.srv.inboxes.put(in)
		in = nil
	}
	c.inbox, c.unhandled, c.came = in, in != nil, c.srv.ticks()
	c.srv.Limiter.join()
	if watched {
		c.turn()
		return
	}
	go c.serve()
}

// greet answers CONNECT, even if the connection has been stopped meanwhile, by
// a newer one for example: a socket that closes without CONNACK makes some SDKs
// give up.
func (c *conn) greet(present bool) error {
	b, err := (&mqtt.Connack{SessionPresent: present}).Append(nil, c.version)
	if err == nil {
		_, err = c.src.Write(b)
	}
	now := time.Now()
	c.mu.Lock()
	c.greeted = true
	if c.cause != nil {
		c.interrupt()
	} else {
		_ = c.src.SetDeadline(time.Time{})
	}
	c.mu.Unlock()
	c.armRead(now)
	return err
}

// refuse answers CONNECT with the code of err, if there was a CONNECT, and
// closes. The stream is closed for writing first and then drained, because
// closing with bytes unread would take the answer away from the client.
func (s *Server) refuse(src source, connect *mqtt.Connect, err error) {
	if connect == nil {
		_ = src.abort() // [MQTT3-3.1.4-1]
		return
	}
	defer func() { _ = src.Close() }()
	_ = src.SetDeadline(time.Now().Add(lingerTimeout))
	b, encErr := refusingConnack(connect, err)
	if encErr != nil {
		return
	}
	if _, err := src.Write(b); err != nil {
		return
	}
	if half, ok := src.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, src, lingerBytes)
	}
}

const (
	lingerTimeout = time.Second
	lingerBytes   = 64 << 10
)

// refusingConnack is the CONNACK of a refusal in the client's version. MQTT 5
// has a place for the sentence.
func refusingConnack(connect *mqtt.Connect, refused error) ([]byte, error) {
	code := hub.CodeOf(refused)
	if connect.Version > mqtt.V5 {
		return (&mqtt.Connack{Code: code.Reason()}).Append(nil, mqtt.V5)
	}
	if connect.Version == mqtt.V5 {
		return refusingConnack5(connect, code, sentence(refused))
	}
	k := mqtt.Connack{Code: code.Connack()}
	if code == hub.InvalidProtocol {
		k.Code = mqtt.ConnackBadVersion // [MQTT3-3.1.2-2]
	}
	return k.Append(nil, mqtt.V311)
}

// refusingConnack5 has the reason string unless the client takes no packet of
// that size [MQTT5-3.2.2-19].
func refusingConnack5(connect *mqtt.Connect, code hub.Code, sentence string) ([]byte, error) {
	k := mqtt.Connack{Code: code.Reason()}
	k.Properties.SetBytes(mqtt.PropertyReasonString, []byte(sentence))
	b, err := k.Append(nil, mqtt.V5)
	most, limited := connect.Properties.Number(mqtt.PropertyMaximumPacketSize)
	if err != nil || limited && uint32(len(b)) > most {
		return (&mqtt.Connack{Code: code.Reason()}).Append(nil, mqtt.V5)
	}
	return b, nil
}

// connectionCount numbers the connections of this process.
//
//nolint:gochecknoglobals // a counter that needs no owner
var connectionCount atomic.Uint64

// nextConnectionID names a connection, uniquely on this node.
func nextConnectionID(now time.Time) string {
	return strconv.FormatInt(now.UnixMilli(), 36) + "-" + strconv.FormatUint(connectionCount.Add(1), 36)
}
