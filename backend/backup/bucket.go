package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// quiet is after which silence it is asked how much a bucket still has.
const quiet = 2 * time.Second

// patience is for how long nothing may come that is there.
const patience = time.Minute

// streamInfo is what JetStream says of a stream.
type streamInfo struct {
	Config json.RawMessage `json:"config"`
	State  struct {
		Messages uint64 `json:"messages"`
		LastSeq  uint64 `json:"last_seq"`
	} `json:"state"`
}

func (a Account) info(ctx context.Context, stream string) (streamInfo, error) {
	var info streamInfo
	err := a.ask(ctx, "STREAM.INFO", stream, struct{}{}, &info)
	return info, err
}

// dump writes the values of a bucket to w, until it has caught up with those who
// write meanwhile. Each key that is there at the begin is in it, with that value
// or a newer one.
func (a Account) dump(ctx context.Context, asset *Asset, w *recordWriter) error {
	info, err := a.info(ctx, asset.Stream)
	if err != nil {
		return err
	}
	asset.Config, asset.LastSeq = info.Config, info.State.LastSeq
	if info.State.Messages == 0 || asset.fillsItself() {
		return nil
	}
	js, err := a.jetStream()
	if err != nil {
		return err
	}
	consumer, err := js.OrderedConsumer(ctx, asset.Stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return a.fault("CONSUMER.CREATE", asset.Stream, err)
	}
	defer a.forget(ctx, js, asset.Stream, consumer)
	return a.follow(ctx, asset, consumer, w)
}

// forget removes the consumer, which would be there for some minutes more.
func (a Account) forget(ctx context.Context, js jetstream.JetStream, stream string, consumer jetstream.Consumer) {
	if info := consumer.CachedInfo(); info != nil {
		_ = js.DeleteConsumer(ctx, stream, info.Name)
	}
}

func (a Account) follow(ctx context.Context, asset *Asset, consumer jetstream.Consumer, w *recordWriter) error {
	messages, err := consumer.Messages()
	if err != nil {
		return a.fault("CONSUMER.MSG.NEXT", asset.Stream, err)
	}
	defer messages.Stop()
	begin := asset.LastSeq
	last, seen := time.Now(), uint64(0)
	for {
		var done bool
		m, err := messages.Next(jetstream.NextMaxWait(quiet))
		switch {
		case errors.Is(err, nats.ErrTimeout):
			done, err = a.idle(ctx, consumer, asset, seen, last)
		case err != nil:
			err = a.fault("CONSUMER.MSG.NEXT", asset.Stream, err)
		default:
			last = time.Now()
			seen, done, err = asset.enter(m, w)
		}
		if done && err == nil {
			done, err = a.isWhole(ctx, asset.Stream, seen, begin)
		}
		if done || err != nil || ctx.Err() != nil {
			return cmp.Or(err, ctx.Err())
		}
	}
}

// isWhole reports whether what came last was the last of a stream that was there at
// the begin, when the stream had got to another number. The consumer does not know: it
// reads the replica where it runs, which may be behind. The leader does.
func (a Account) isWhole(ctx context.Context, stream string, last, begin uint64) (bool, error) {
	if last >= begin {
		return true, nil
	}
	var next struct {
		Message struct {
			Seq uint64 `json:"seq"`
		} `json:"message"`
	}
	err := a.ask(ctx, "STREAM.MSG.GET", stream, map[string]any{"seq": last + 1, "next_by_subj": ">"}, &next)
	if e, ok := errors.AsType[*jetstream.APIError](err); ok && e.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return true, nil
	}
	return next.Message.Seq > begin, err
}

// enter writes one message of a bucket. It returns its number, and whether the
// consumer has no more.
func (a *Asset) enter(m jetstream.Msg, w *recordWriter) (seq uint64, last bool, err error) {
	meta, err := m.Metadata()
	if err != nil {
		return 0, false, hub.Errorf(hub.ServerError, "%s: read a message: %w", a.Stream, err)
	}
	seq, last = meta.Sequence.Stream, meta.NumPending == 0
	a.LastSeq = max(a.LastSeq, seq)
	keys := len("$KV." + a.Stream[len(bucketPrefix):] + ".")
	if limitMarker(m.Headers()) || len(m.Subject()) <= keys {
		return seq, last, nil
	}
	a.Messages++
	return seq, last, w.put(record{Key: m.Subject()[keys:], Seq: seq, Time: meta.Timestamp.UTC(), Header: m.Headers(), Value: m.Data()})
}

// idle says, when nothing comes, whether there is nothing more: what was to come
// has been removed meanwhile. What was sent and has not come is more; seen is what came
// last.
func (a Account) idle(ctx context.Context, consumer jetstream.Consumer, asset *Asset, seen uint64, last time.Time) (done bool, err error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if time.Since(last) > patience {
		return false, hub.Errorf(hub.GatewayTimeout, "%s: JetStream has sent nothing for %v, and there is more", asset.Stream, patience)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := consumer.Info(ctx)
	if err != nil {
		return false, nil //nolint:nilerr // it is made anew after an interruption; patience bounds that
	}
	return info.NumPending == 0 && info.Delivered.Stream <= seen, nil
}
