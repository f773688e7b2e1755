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
)

// wire is a connection to a server in this process that speaks NATS's protocol
// itself: publications in large writes, and one subscription, to its inbox.
//
// The connection is a pipe, in which a write ends when the server has read it, and
// the server's when this side has. So the goroutine that reads never writes: what
// it owes is written by tend.
type wire struct {
	conn  net.Conn
	inbox string // with the dot before what tells replies apart
	to    wireReceiver
	fault func(error) // is told of a right that is refused; may be nil

	maxPayload atomic.Int64
	pings      atomic.Int32  // without an answer
	pinging    atomic.Bool   // a PING is owed
	ponging    atomic.Bool   // a PONG is
	owes       chan struct{} // has room for one
	pong       chan struct{} // has room for one: a PONG has come

	writing sync.Mutex

	over sync.Once
	err  error // is set before gone is closed
	gone chan struct{}
	wg   sync.WaitGroup
}

// wireReceiver takes what comes to the inbox of a wire. It is called by one
// goroutine at a time.
type wireReceiver interface {
	// take gets a message. The token is what follows the inbox in its subject. All
	// slices are good until read.
	take(token []byte, f frame)
	// read says that all has been taken of what was read at once.
	read()
}

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

// openWire connects to the server in this process that nats.go's options name, as
// they say.
func openWire(o *nats.Options, in *wireReader, to wireReceiver) (*wire, error) {
	conn, err := o.InProcessServer.InProcessConn()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", nats.ErrNoServers, err)
	}
	w := &wire{
		conn: conn, inbox: o.InboxPrefix + "." + strings.TrimPrefix(nats.NewInbox(), nats.InboxPrefix) + ".", to: to,
		owes: make(chan struct{}, 1), pong: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	if o.AsyncErrorCB != nil {
		w.fault = func(err error) { o.AsyncErrorCB(nil, nil, err) }
	}
	if err := w.open(o, in); err != nil {
		w.end(err)
		w.wg.Wait()
		return nil, w.err
	}
	return w, nil
}

// open introduces itself, and returns when the server has let it in.
func (w *wire) open(o *nats.Options, in *wireReader) error {
	_ = w.conn.SetDeadline(time.Now().Add(o.Timeout))
	info, err := w.readInfo(in)
	if err != nil {
		return err
	}
	hello, err := introduction(o, info)
	if err != nil {
		return err
	}
	_ = w.conn.SetReadDeadline(time.Time{})
	w.wg.Go(func() { w.readLoop(in) })
	_ = w.write(append(hello, wirePing...)) // if that fails, who reads knows why
	timer := time.NewTimer(o.Timeout)
	defer timer.Stop()
	select {
	case <-w.pong:
	case <-w.gone:
		return w.err
	case <-timer.C:
		return nats.ErrTimeout
	}
	if err := w.write(fmt.Appendf(nil, "SUB %s* %s\r\n", w.inbox, wireSID)); err != nil {
		return err
	}
	_ = w.conn.SetWriteDeadline(time.Time{})
	w.wg.Go(w.tend)
	w.wg.Go(func() { w.watch(o.PingInterval, int32(o.MaxPingsOut)) })
	return nil
}

// readInfo reads the server's first words.
func (w *wire) readInfo(in *wireReader) (wireInfo, error) {
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
			return w.informed(f.text)
		}
		if err := in.fill(w.conn); err != nil {
			return wireInfo{}, err
		}
	}
}

// informed takes what the server says of itself.
func (w *wire) informed(text []byte) (info wireInfo, err error) {
	if err := json.Unmarshal(text, &info); err != nil {
		return wireInfo{}, fmt.Errorf("%w: %w", errWire, err)
	}
	if !info.Headers {
		return wireInfo{}, nats.ErrHeadersNotSupported
	}
	w.maxPayload.Store(info.MaxPayload)
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

func (w *wire) write(b []byte) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	_, err := w.conn.Write(b)
	return err
}

// readLoop reads until the connection is lost.
func (w *wire) readLoop(in *wireReader) {
	for {
		err := in.fill(w.conn)
		if e := w.takeAll(in); e != nil {
			err = e
		}
		w.to.read()
		if err != nil {
			w.end(err)
			return
		}
	}
}

// takeAll takes what has been read.
func (w *wire) takeAll(in *wireReader) error {
	for {
		f, ok, err := in.next()
		if err != nil || !ok {
			return err
		}
		if err := w.take(f); err != nil {
			return err
		}
	}
}

func (w *wire) take(f frame) error {
	switch f.kind {
	case frameMessage:
		w.takeMessage(f)
	case framePing:
		w.owe(&w.ponging)
	case framePong:
		w.pings.Store(0)
		select {
		case w.pong <- struct{}{}:
		default:
		}
	case frameInfo:
		_, err := w.informed(f.text)
		return err
	case frameError:
		err := protocolError(string(f.text))
		if !errors.Is(err, nats.ErrPermissionViolation) {
			return err
		}
		if w.fault != nil {
			w.fault(err)
		}
	case frameOK:
	}
	return nil
}

// takeMessage hands on what came to the inbox.
func (w *wire) takeMessage(f frame) {
	if token, ok := bytes.CutPrefix(f.subject, []byte(w.inbox)); ok && string(f.sid) == wireSID {
		w.to.take(token, f)
	}
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
func (w *wire) owe(what *atomic.Bool) {
	what.Store(true)
	select {
	case w.owes <- struct{}{}:
	default:
	}
}

// tend writes what is owed.
func (w *wire) tend() {
	for {
		select {
		case <-w.gone:
			return
		case <-w.owes:
		}
		var due []byte
		if w.ponging.Swap(false) {
			due = append(due, wirePong...)
		}
		if w.pinging.Swap(false) {
			due = append(due, wirePing...)
		}
		if err := w.write(due); err != nil {
			w.end(err)
		}
	}
}

// watch asks the server whether it is still there, and ends the connection when it
// does not answer. It does not write itself: a write may be what does not end.
func (w *wire) watch(every time.Duration, most int32) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-w.gone:
			return
		case <-t.C:
		}
		if w.pings.Add(1) > most {
			w.end(nats.ErrStaleConnection)
			return
		}
		w.owe(&w.pinging)
	}
}

// end ends the connection, once; err is why.
func (w *wire) end(err error) {
	w.over.Do(func() {
		w.err = err
		_ = w.conn.Close()
		close(w.gone)
	})
}

// close waits for the goroutines: after it no reply comes.
func (w *wire) close() {
	w.end(nil)
	w.wg.Wait()
}
