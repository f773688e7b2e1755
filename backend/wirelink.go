package backend

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
)

// wireLink is a [link] to a server in this process that speaks NATS's protocol
// itself. It has what an engine needs of a client: publications in large writes,
// one subscription, and replies by the batch.
//
// The connection is a pipe, in which a write ends when the server has read it, and
// the server's when this side has. So the goroutine that reads never writes: what
// it owes is written by tend.
type wireLink struct {
	conn  net.Conn
	inbox string // with the dot before the message's number
	to    func(*mail)
	fault func(error) // is told of a right that is refused; may be nil

	alone bool // see sole; set before the first publication

	maxPayload atomic.Int64
	pings      atomic.Int32  // without an answer
	pinging    atomic.Bool   // a PING is owed
	ponging    atomic.Bool   // a PONG is
	owes       chan struct{} // has room for one
	pong       chan struct{} // has room for one: a PONG has come

	writing sync.Mutex
	out     []byte // of the goroutine that sends

	over sync.Once
	err  error // is set before gone is closed
	gone chan struct{}
	wg   sync.WaitGroup
}

var _ link = (*wireLink)(nil)

// wireInfo is what a server says of itself.
type wireInfo struct {
	Nonce      string `json:"nonce"`
	Headers    bool   `json:"headers"`
	MaxPayload int64  `json:"max_payload"`
}

// wireConnect is what a client says of itself.
type wireConnect struct {
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	JWT          string `json:"jwt,omitempty"`
	NKey         string `json:"nkey,omitempty"`
	Signature    string `json:"sig,omitempty"`
	User         string `json:"user,omitempty"`
	Password     string `json:"pass,omitempty"`
	Token        string `json:"auth_token,omitempty"`
	Name         string `json:"name"`
	Lang         string `json:"lang"`
	Version      string `json:"version"`
	Protocol     int    `json:"protocol"`
	Echo         bool   `json:"echo"`
	Headers      bool   `json:"headers"`
	NoResponders bool   `json:"no_responders"`
}

// wireSID is the number of the one subscription.
const wireSID = "1"

// linkByWire connects to the server in this process that nats.go's options name,
// as they say.
func linkByWire(o *nats.Options, replies func(*mail)) (link, error) {
	conn, err := o.InProcessServer.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", nats.ErrNoServers, err)
	}
	l := &wireLink{
		conn: conn, inbox: o.InboxPrefix + "." + strings.TrimPrefix(nats.NewInbox(), nats.InboxPrefix) + ".", to: replies,
		owes: make(chan struct{}, 1), pong: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	if o.AsyncErrorCB != nil {
		l.fault = func(err error) { o.AsyncErrorCB(nil, nil, err) }
	}
	if err := l.open(o); err != nil {
		l.end(err)
		l.wg.Wait()
		return nil, l.err
	}
	return l, nil
}

// open introduces itself, and returns when the server has let it in.
func (l *wireLink) open(o *nats.Options) error {
	_ = l.conn.SetDeadline(time.Now().Add(o.Timeout))
	in := newWireReader(wireBuffer)
	info, err := l.readInfo(in)
	if err != nil {
		return err
	}
	hello, err := introduction(o, info)
	if err != nil {
		return err
	}
	_ = l.conn.SetReadDeadline(time.Time{})
	l.wg.Go(func() { l.readLoop(in) })
	_ = l.write(append(hello, wirePing...)) // if that fails, who reads knows why
	timer := time.NewTimer(o.Timeout)
	defer timer.Stop()
	select {
	case <-l.pong:
	case <-l.gone:
		return l.err
	case <-timer.C:
		return nats.ErrTimeout
	}
	if err := l.write(fmt.Appendf(nil, "SUB %s* %s\r\n", l.inbox, wireSID)); err != nil {
		return err
	}
	_ = l.conn.SetWriteDeadline(time.Time{})
	l.wg.Go(l.tend)
	l.wg.Go(func() { l.watch(o.PingInterval, int32(o.MaxPingsOut)) })
	return nil
}

// readInfo reads the server's first words.
func (l *wireLink) readInfo(in *wireReader) (wireInfo, error) {
	for {
		f, ok, err := in.next()
		switch {
		case err != nil:
			return wireInfo{}, err
		case ok && f.kind == frameError:
			return wireInfo{}, protocolError(string(f.text))
		case ok && f.kind != frameInfo:
			return wireInfo{}, errWire
		case ok:
			return l.informed(f.text)
		}
		if err := in.fill(l.conn); err != nil {
			return wireInfo{}, err
		}
	}
}

// informed takes what the server says of itself.
func (l *wireLink) informed(text []byte) (info wireInfo, err error) {
	if err := json.Unmarshal(text, &info); err != nil {
		return wireInfo{}, fmt.Errorf("%w: %w", errWire, err)
	}
	if !info.Headers {
		return wireInfo{}, nats.ErrHeadersNotSupported
	}
	l.maxPayload.Store(info.MaxPayload)
	return info, nil
}

// introduction is the first line to the server.
func introduction(o *nats.Options, info wireInfo) ([]byte, error) {
	c := wireConnect{
		NKey: o.Nkey, User: o.User, Password: o.Password, Token: o.Token,
		Name: o.Name, Lang: nats.LangString, Version: nats.Version,
		Protocol: 1, Echo: true, Headers: true, NoResponders: true,
	}
	if o.UserJWT != nil {
		var err error
		if c.JWT, err = o.UserJWT(); err != nil {
			return nil, err
		}
	}
	if c.JWT != "" || c.NKey != "" {
		if o.SignatureCB == nil {
			return nil, nats.ErrUserButNoSigCB
		}
		signature, err := o.SignatureCB([]byte(info.Nonce))
		if err != nil {
			return nil, fmt.Errorf("sign the server's nonce: %w", err)
		}
		c.Signature = base64.RawURLEncoding.EncodeToString(signature)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write CONNECT: %w", err)
	}
	return fmt.Appendf(nil, "CONNECT %s\r\n", text), nil
}

func (l *wireLink) write(b []byte) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	_, err := l.conn.Write(b)
	return err
}

// keepOut is how much room for writing is kept: that of a parcel of usual messages.
const keepOut = 4 * parcelBytes

func (l *wireLink) send(p *parcel) {
	l.out = l.out[:0]
	most := l.maxPayload.Load()
	for _, s := range p.slots {
		if int64(payloadSize(s)) > most {
			p.refuse(s.seq, hub.MessageTooLarge, nats.ErrMaxPayload)
			continue
		}
		l.out = appendPublication(l.out, l.inbox, p.epoch+1, s)
	}
	if len(l.out) == 0 || p.stale() {
		return
	}
	if err := l.write(l.out); err != nil {
		l.end(err)
	}
	if cap(l.out) > keepOut {
		l.out = nil
	}
}

// readLoop reads until the connection is lost.
func (l *wireLink) readLoop(in *wireReader) {
	var m mail
	for {
		err := in.fill(l.conn)
		if e := l.takeAll(in, &m); e != nil {
			err = e
		}
		if len(m.responses) > 0 {
			l.to(&m)
		}
		if err != nil {
			l.end(err)
			return
		}
	}
}

// takeAll takes what has been read, and puts replies into m.
func (l *wireLink) takeAll(in *wireReader, m *mail) error {
	for {
		f, ok, err := in.next()
		if err != nil || !ok {
			return err
		}
		if err := l.take(f, m); err != nil {
			return err
		}
	}
}

func (l *wireLink) take(f frame, m *mail) error {
	switch f.kind {
	case frameMessage:
		l.takeReply(f, m)
	case framePing:
		l.owe(&l.ponging)
	case framePong:
		l.pings.Store(0)
		select {
		case l.pong <- struct{}{}:
		default:
		}
	case frameInfo:
		_, err := l.informed(f.text)
		return err
	case frameError:
		err := protocolError(string(f.text))
		if !errors.Is(err, nats.ErrPermissionViolation) {
			return err
		}
		if l.fault != nil {
			l.fault(err)
		}
	case frameOK:
	}
	return nil
}

func (l *wireLink) takeReply(f frame, m *mail) {
	token, ok := bytes.CutPrefix(f.subject, []byte(l.inbox))
	if !ok || string(f.sid) != wireSID {
		return
	}
	t, ok := parseReply(token)
	if !ok {
		return
	}
	if len(f.data) == 0 && bytes.HasPrefix(f.headers, []byte(wireNobody)) {
		m.addNobody(t)
		return
	}
	m.add(t, f.data)
}

// protocolError is what follows -ERR as an error, as nats.go has it.
func protocolError(text string) error {
	lower := strings.ToLower(text)
	for _, known := range []struct {
		begin string
		err   error
	}{
		{"permissions violation", nats.ErrPermissionViolation},
		{"authorization violation", nats.ErrAuthorization},
		{"user authentication expired", nats.ErrAuthExpired},
		{"user authentication revoked", nats.ErrAuthRevoked},
		{"account authentication expired", nats.ErrAccountAuthExpired},
		{"stale connection", nats.ErrStaleConnection},
	} {
		if strings.HasPrefix(lower, known.begin) {
			return fmt.Errorf("%w: %s", known.err, text)
		}
	}
	return errors.New("nats: " + text)
}

// owe has something written soon.
func (l *wireLink) owe(what *atomic.Bool) {
	what.Store(true)
	select {
	case l.owes <- struct{}{}:
	default:
	}
}

// tend writes what is owed.
func (l *wireLink) tend() {
	for {
		select {
		case <-l.gone:
			return
		case <-l.owes:
		}
		var due []byte
		if l.ponging.Swap(false) {
			due = append(due, wirePong...)
		}
		if l.pinging.Swap(false) {
			due = append(due, wirePing...)
		}
		if err := l.write(due); err != nil {
			l.end(err)
		}
	}
}

// watch asks the server whether it is still there, and ends the connection when it
// does not answer. It does not write itself: a write may be what does not end.
func (l *wireLink) watch(every time.Duration, most int32) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-l.gone:
			return
		case <-t.C:
		}
		if l.pings.Add(1) > most {
			l.end(nats.ErrStaleConnection)
			return
		}
		l.owe(&l.pinging)
	}
}

// end ends the connection, once; err is why.
func (l *wireLink) end(err error) {
	l.over.Do(func() {
		l.err = err
		_ = l.conn.Close()
		close(l.gone)
	})
}

func (l *wireLink) sole() bool { return l.alone }

func (l *wireLink) lost() <-chan struct{} { return l.gone }

func (l *wireLink) cause() error { return l.err }

// close waits for the goroutines: after it no reply comes.
func (l *wireLink) close() {
	l.end(nil)
	l.wg.Wait()
}
