//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// webSide is how to reach a gateway's REST API.
type webSide struct {
	addr, host string
	token      string // of a policy that may do everything
	config     *tls.Config
}

// webClient is one connection of a client of the REST API, which is kept, as an
// SDK keeps it. It speaks as much HTTP as it needs: package net/http would cost
// the generator more than the gateway costs.
type webClient struct {
	web  webSide
	conn *tls.Conn
	in   *bufio.Reader
	out  []byte
	body []byte
}

func (w webSide) dial(ctx context.Context) (*webClient, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: w.config}
	conn, err := d.DialContext(ctx, "tcp4", w.addr)
	if err != nil {
		return nil, fmt.Errorf("dial the REST API: %w", err)
	}
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return nil, errors.Join(errors.New("dial the REST API: no TLS"), conn.Close())
	}
	return &webClient{web: w, conn: secure, in: bufio.NewReaderSize(secure, readSize)}, nil
}

// question is a request; path is without the version.
type question struct {
	verb, path, body string
	headers          string // lines, each with its end
	status           int    // of the answer
}

// ask makes a request and returns the body of its answer, which is valid until
// the next one.
func (c *webClient) ask(q question) ([]byte, error) {
	c.out = fmt.Appendf(c.out[:0], "%s %s?api-version=2021-04-12 HTTP/1.1\r\nHost: %s\r\nAuthorization: %s\r\n", q.verb, q.path, c.web.host, c.web.token)
	if q.body != "" {
		c.out = fmt.Appendf(c.out, "Content-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n", len(q.body))
	}
	c.out = append(append(append(c.out, q.headers...), "\r\n"...), q.body...)
	_ = c.conn.SetDeadline(time.Now().Add(callTimeout))
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, fmt.Errorf("%s %s: %w", q.verb, q.path, err)
	}
	status, err := c.answer()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", q.verb, q.path, err)
	}
	if status != q.status {
		return nil, fmt.Errorf("%s %s: answered by %d, want %d: %.300q", q.verb, q.path, status, q.status, c.body)
	}
	return c.body, nil
}

// answer reads one with a length, which all of the gateway's have.
func (c *webClient) answer() (status int, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("read the answer: %w", err)
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		switch {
		case first && len(line) > 12:
			status, _ = strconv.Atoi(string(line[9:12]))
		case len(name) == 0:
			c.body = append(c.body[:0], make([]byte, length)...)
			_, err = io.ReadFull(c.in, c.body)
			return status, err
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		case bytes.EqualFold(name, []byte("Transfer-Encoding")), bytes.EqualFold(name, []byte("Connection")):
			err = fmt.Errorf("the answer has %s", bytes.TrimSpace(line))
		}
		if err != nil {
			return 0, err
		}
	}
}

func (c *webClient) close() { _ = c.conn.Close() }

// webLoad has connections ask one thing after the other.
type webLoad struct {
	web   webSide
	conns int
	next  func(conn, n int) question // what a connection asks as its n-th

	warm, measure time.Duration
	probe         func() usage
}

// run returns how long the answers took that came within the measured time.
func (l webLoad) run(ctx context.Context) (outcome, error) {
	clients := make([]*webClient, l.conns)
	for i := range clients {
		c, err := l.web.dial(ctx)
		if err != nil {
			return outcome{}, err
		}
		defer c.close()
		clients[i] = c
	}
	from := time.Now().Add(l.warm)
	until := from.Add(l.measure)
	trips, sent, errs := make([][]time.Duration, l.conns), make([]uint64, l.conns), make([]error, l.conns)
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for n := 0; errs[i] == nil; n++ {
				begin := time.Now()
				if begin.After(until) || ctx.Err() != nil {
					return
				}
				if _, errs[i] = c.ask(l.next(i, n)); errs[i] != nil {
					return
				}
				sent[i]++
				if end := time.Now(); !end.Before(from) && end.Before(until) {
					trips[i] = append(trips[i], end.Sub(begin))
				}
			}
		})
	}
	<-time.After(time.Until(from))
	begin, before := time.Now(), l.probe()
	<-time.After(time.Until(until))
	out := outcome{Elapsed: time.Since(begin), Used: l.probe().since(before)}
	wg.Wait()
	for i := range clients {
		out.Latency = append(out.Latency, trips[i]...)
		out.Sent += sent[i]
	}
	out.Acked, out.Counted = out.Sent, uint64(len(out.Latency))
	return out, errors.Join(errs...)
}

// okStatus is that of an answer with a body.
const okStatus = http.StatusOK
