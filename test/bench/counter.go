//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const counterTimeout = 20 * time.Second

// counter tells how many messages a stream has taken in.
type counter struct {
	conn   *nats.Conn
	js     jetstream.JetStream
	stream string
}

func (n natsSide) connect() (*nats.Conn, error) {
	opts := []nats.Option{nats.Name("bench"), nats.MaxReconnects(0)}
	if n.creds != "" {
		opts = append(opts, nats.UserCredentials(n.creds))
	}
	conn, err := nats.Connect(n.url, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", n.url, err)
	}
	return conn, nil
}

// newCounter connects to the NATS side of a server. The stream may be made
// later; creds is the path of a credentials file, or empty.
func newCounter(url, creds, stream string) (*counter, error) {
	conn, err := natsSide{url, creds}.connect()
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	return &counter{conn: conn, js: js, stream: stream}, nil
}

// count is how many messages the stream has kept. Of a stream with limits that
// is the sequence of the newest one, which neither a limit nor a purge takes
// back; of a stream kept by interest the messages that are there, because one
// that nobody wants is given a sequence and thrown away.
func (c *counter) count() (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), counterTimeout)
	defer cancel()
	s, err := c.js.Stream(ctx, c.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read stream %s: %w", c.stream, err)
	}
	info := s.CachedInfo()
	if info.Config.Retention == jetstream.LimitsPolicy {
		return info.State.LastSeq, nil
	}
	return info.State.Msgs, nil
}

// purge empties the stream, so that no cell pays for the disk space or the
// writeback of an earlier one.
func (c *counter) purge() error {
	ctx, cancel := context.WithTimeout(context.Background(), counterTimeout)
	defer cancel()
	s, err := c.js.Stream(ctx, c.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read stream %s: %w", c.stream, err)
	}
	return s.Purge(ctx)
}

func (c *counter) close() { c.conn.Close() }
