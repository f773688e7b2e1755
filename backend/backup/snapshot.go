package backup

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
)

const (
	// chunkSize is that of a snapshot's chunks, below every max_payload that a hub
	// can live with.
	chunkSize = 128 << 10
	// windowSize is how much of a snapshot may be on its way.
	windowSize = 8 << 20
)

// snapshot writes a snapshot of a stream to w, with its consumers. All that the
// stream has stored when it is called is in it.
func (a Account) snapshot(ctx context.Context, asset *Asset, w io.Writer) error {
	inbox := a.Conn.NewInbox()
	sub, err := a.Conn.SubscribeSync(inbox)
	if err == nil {
		err = sub.SetPendingLimits(-1, 2*windowSize+chunkSize)
	}
	if err != nil {
		return a.fault("STREAM.SNAPSHOT", asset.Stream, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	var answer struct {
		Config json.RawMessage `json:"config"`
		State  json.RawMessage `json:"state"`
	}
	err = a.ask(ctx, "STREAM.SNAPSHOT", asset.Stream, map[string]any{
		"deliver_subject": inbox, "chunk_size": chunkSize, "window_size": windowSize,
	}, &answer)
	if err != nil {
		return err
	}
	var state struct {
		Messages uint64 `json:"messages"`
		LastSeq  uint64 `json:"last_seq"`
	}
	if err := json.Unmarshal(answer.State, &state); err != nil {
		return hub.Errorf(hub.ServerError, "%s: JetStream's answer to STREAM.SNAPSHOT is strange: %w", asset.Stream, err)
	}
	asset.Config, asset.State = answer.Config, answer.State
	asset.Messages, asset.LastSeq = state.Messages, state.LastSeq
	return a.receive(ctx, asset.Stream, sub, w)
}

// receive writes the chunks, each of which the server numbers, until the empty
// message that is the end.
func (a Account) receive(ctx context.Context, stream string, sub *nats.Subscription, w io.Writer) error {
	for number := 1; ; number++ {
		m, err := nextWithin(ctx, sub, patience)
		if err != nil {
			return a.fault("STREAM.SNAPSHOT", stream, err)
		}
		if len(m.Data) == 0 {
			return endOf(stream, m)
		}
		if got, numbered := chunkNumber(m.Reply); numbered && got != number {
			return hub.Errorf(hub.ServerError, "%s: chunk %d of the snapshot is missing, %d came", stream, number, got)
		}
		if _, err := w.Write(m.Data); err != nil {
			return hub.Errorf(hub.ServerError, "write the backup: %w", err)
		}
		if m.Reply == "" { // the last one
			continue
		}
		if err := m.Respond(nil); err != nil {
			return a.fault("STREAM.SNAPSHOT", stream, err)
		}
	}
}

func nextWithin(ctx context.Context, sub *nats.Subscription, most time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// endOf reads the last message, which may say that the server has given up.
func endOf(stream string, m *nats.Msg) error {
	status := m.Header.Get("Status")
	if status == "" || status == "204" {
		return nil
	}
	return hub.Errorf(hub.ServiceUnavailable, "%s: JetStream has given up the snapshot: %s %s", stream, status, m.Header.Get("Description"))
}

// chunkNumber is the last token of the subject by which a chunk is acknowledged.
func chunkNumber(reply string) (int, bool) {
	n, err := strconv.Atoi(reply[strings.LastIndexByte(reply, '.')+1:])
	return n, err == nil
}

// unpack makes a stream from a snapshot.
func (a Account) unpack(ctx context.Context, asset Asset, config json.RawMessage, r io.Reader) error {
	var answer struct {
		To string `json:"deliver_subject"`
	}
	err := a.ask(ctx, "STREAM.RESTORE", asset.Stream, map[string]any{"config": config, "state": asset.State}, &answer)
	if err != nil {
		return err
	}
	chunk := make([]byte, chunkSize)
	for {
		n, err := io.ReadFull(r, chunk)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return hub.Errorf(hub.ArgumentInvalid, "read the backup: %s: %w", asset.File, err)
		}
		if n > 0 {
			if err := a.send(ctx, asset.Stream, answer.To, chunk[:n]); err != nil {
				return err
			}
		}
		if last {
			return a.send(ctx, asset.Stream, answer.To, nil)
		}
	}
}

// send sends a chunk, or the end, and waits until the server has it.
func (a Account) send(ctx context.Context, stream, to string, chunk []byte) error {
	within := patience
	if len(chunk) == 0 {
		within = settleTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	m, err := a.request(ctx, to, chunk)
	if err != nil {
		return a.fault("STREAM.RESTORE", stream, err)
	}
	if len(m.Data) == 0 && len(chunk) > 0 {
		return nil
	}
	return a.read("STREAM.RESTORE", stream, m.Data, nil)
}
