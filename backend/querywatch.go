package backend

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/query"
)

const (
	// maxWatches is how many queries a node follows for others at a time.
	maxWatches = 256
	// watchBeat is how often a watch asks whether anybody is still there.
	watchBeat = 5 * time.Second
	// watchWindow is how many messages may be on their way to somebody who
	// acknowledges, and watchPatience how long an acknowledgement may take.
	watchWindow   = 64
	watchPatience = 30 * time.Second
)

// watch is a query that somebody follows.
type watch struct {
	service *QueryService
	to      string        // the inbox
	acks    bool          // the asker answers
	seq     atomic.Uint64 // of the last event that was sent
	cancel  context.CancelCauseFunc
}

// errAskerGone ends a watch that nobody listens to.
var errAskerGone = errors.New("nobody listens to the watch any more")

// watch answers hub.query.watch with a message for each event, to the reply
// subject, until nobody is there any more. That must be an inbox: what has a
// reply subject itself would be obeyed by the hub's services.
func (s *QueryService) watch(m micro.Request) {
	if !isAsked(m.Reply()) {
		return
	}
	q, w, err := s.begin(m)
	if err != nil {
		s.turnAway(m, err)
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	w.cancel = cancel
	if err := s.enter(w); err != nil {
		cancel(nil)
		s.turnAway(m, err)
		return
	}
	go func() {
		defer s.leave(w)
		defer cancel(nil)
		s.running.Go(func() { w.listen(ctx) })
		err := s.fleet.Watch(ctx, q, func(e query.Event) { w.tell(ctx, e) })
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		w.end(err)
	}()
}

// begin reads a request to watch.
func (s *QueryService) begin(m micro.Request) (text string, w *watch, err error) {
	var body struct {
		Query       string `json:"query"`
		Acknowledge bool   `json:"acknowledge"`
	}
	if err := (request{body: m.Data()}).decode(&body); err != nil {
		return "", nil, err
	}
	if !strings.HasPrefix(m.Reply(), "_INBOX") {
		return "", nil, hub.Errorf(hub.ArgumentInvalid, "the reply subject of the request is no inbox: let it begin with _INBOX")
	}
	if _, err := query.Parse(body.Query); err != nil {
		return "", nil, err
	}
	return body.Query, &watch{service: s, to: m.Reply(), acks: body.Acknowledge}, nil
}

// enter counts a watch.
func (s *QueryService) enter(w *watch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.watching) >= maxWatches {
		return hub.Errorf(hub.Throttled, "this node follows %d queries already; end some, or ask again later", maxWatches)
	}
	if err := s.add(); err != nil {
		return err
	}
	s.watching[w] = struct{}{}
	return nil
}

func (s *QueryService) leave(w *watch) {
	defer s.running.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.watching, w)
}

// cutAll ends all watches.
func (s *QueryService) cutAll(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watching {
		w.cancel(why)
	}
}

// cutAtInterruptions ends all watches when the connection to NATS was lost and
// is back: what was told meanwhile may not have arrived.
func (s *QueryService) cutAtInterruptions() {
	back := s.nc.StatusChanged(nats.CONNECTED)
	defer s.nc.RemoveStatusListener(back)
	for {
		select {
		case <-s.over:
			return
		case <-back:
			s.cutAll(hub.Errorf(hub.ServiceUnavailable, "the node has lost its connection to NATS for a moment; begin the watch again"))
		}
	}
}

// eventText is an event as it is sent.
func eventText(e query.Event, seq uint64) []byte {
	text := append([]byte(nil), `{"event":"`+string(e.Kind)+`","seq":`...)
	text = strconv.AppendUint(text, seq, 10)
	if e.Key != "" {
		text = append(text, `,"key":`...)
		key, err := json.Marshal(e.Key)
		if err != nil {
			key = []byte(`""`)
		}
		text = append(text, key...)
	}
	if e.Row != nil { // which is JSON already
		text = append(text, `,"row":`...)
		text = append(text, e.Row...)
	}
	return append(text, '}')
}

// alive is the event that says that there is nothing new.
const alive query.EventKind = "alive"

// tell sends an event. It waits for the acknowledgement of one in so many.
func (w *watch) tell(ctx context.Context, e query.Event) {
	if ctx.Err() != nil {
		return
	}
	if len(e.Row) > w.service.maxReply {
		w.cancel(tooLong(len(e.Row), w.service.maxReply))
		return
	}
	seq := w.seq.Load() + 1
	defer w.seq.Store(seq) // what says that nothing is new must not be ahead of what is
	body := eventText(e, seq)
	if !w.acks || seq%watchWindow != 0 {
		if err := w.service.nc.Publish(w.to, body); err != nil {
			w.cancel(hub.Errorf(hub.ServiceUnavailable, "tell of a change: %w", err))
		}
		return
	}
	w.ask(ctx, body, w.service.patience)
}

// ask sends a message that wants an answer. That none comes is the end of the
// watch of somebody who acknowledges; that nobody is there, of any.
func (w *watch) ask(ctx context.Context, body []byte, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := w.service.nc.RequestWithContext(ctx, w.to, body)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		w.cancel(errAskerGone)
	case errors.Is(err, context.DeadlineExceeded) && w.acks:
		w.cancel(hub.Errorf(hub.ServiceUnavailable, "the watch is ended, for nobody has acknowledged its messages for %v; begin it again, and read faster", w.service.patience))
	}
}

// listen asks from time to time whether anybody is there.
func (w *watch) listen(ctx context.Context) {
	tick := time.NewTicker(w.service.beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		body := eventText(query.Event{Kind: alive}, w.seq.Load())
		patience := w.service.beat
		if w.acks {
			patience = w.service.patience
		}
		w.ask(ctx, body, patience)
	}
}

// end tells why the watch is over, if anybody is there to hear it.
func (w *watch) end(err error) {
	if errors.Is(err, errAskerGone) || err == nil {
		return
	}
	text := hub.CodeOf(err).Hint()
	if e, ok := errors.AsType[*hub.Error](err); ok {
		text = e.Message
	}
	m := nats.NewMsg(w.to)
	m.Header.Set(micro.ErrorCodeHeader, strconv.Itoa(int(hub.CodeOf(err))))
	m.Header.Set(micro.ErrorHeader, oneLine(text))
	if err := w.service.nc.PublishMsg(m); err != nil {
		w.service.log.Debug().Err(err).Msg("the end of a watch could not be told")
	}
}
