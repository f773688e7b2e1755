package iothub

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/meter"
	"github.com/hubgate/hubgate/timeline"
	"github.com/hubgate/hubgate/twin"
)

// Twins. A device asks for its twin, or patches its reported properties, on
//
//	$iothub/twin/GET/?$rid={rid}
//	$iothub/twin/PATCH/properties/reported/?$rid={rid}[&$version={n}]
//
// is answered on
//
//	$iothub/twin/res/{status}/?$rid={rid}[&$version={n}]
//
// and hears of changes of its desired properties on
//
//	$iothub/twin/PATCH/properties/desired/?$version={n}
//
// The SDKs read these topics by position: rid comes first, as it was sent. A
// twin request never ends the connection; it is always answered, for Python
// and Node wait without limit.
const (
	prefixTwinGet      = "$iothub/twin/GET/?"
	prefixTwinReported = "$iothub/twin/PATCH/properties/reported/?"
	prefixTwinResult   = "$iothub/twin/res/"
	prefixTwinDesired  = "$iothub/twin/PATCH/properties/desired/?$version="
)

// twinTimeout bounds a twin request. The C and C# SDKs wait for 60 s.
const twinTimeout = 20 * time.Second

// maxRID is the longest request id that is answered; SDKs send 36 bytes.
const maxRID = 1 << 10

// twinRequest prepares what a device asks of its twin; both are nil when the
// topic is not one of a twin's.
func (h *handler) twinRequest(topic, body []byte) (act func(), err error) {
	r := twinRequest{do: h.getTwin, kind: gateway.TwinReads, came: twinGet, count: &h.face.counts.gets}
	if rest, ok := cut(topic, prefixTwinGet); ok {
		r.query = string(rest)
	} else if rest, ok := cut(topic, prefixTwinReported); ok {
		r = twinRequest{do: h.patchReported, kind: gateway.TwinWrites, came: twinReported, count: &h.face.counts.patches, query: string(rest)}
	} else {
		return nil, nil
	}
	h.came(r.came)
	if r.rid = ridOf(r.query); r.rid == "" || len(r.rid) > maxRID {
		return nil, hub.Errorf(hub.ArgumentInvalid, "a twin request needs a request id of 1 to %d bytes: …/?$rid={rid}", maxRID)
	}
	return func() { h.serveTwin(r, body) }, nil
}

// twinRequest is what a device asks of its twin.
type twinRequest struct {
	do         func(ctx context.Context, query, rid string, body []byte) error
	kind       gateway.Kind
	came       incoming
	count      *meter.Operation
	query, rid string
}

// serveTwin works on a request and, if it fails, answers it.
func (h *handler) serveTwin(r twinRequest, body []byte) {
	began := time.Now()
	if err := h.allowRequest(r.kind); err != nil {
		r.count.Done(began, err)
		h.answerTwin(hub.CodeOf(err).Status(), r.rid, twin.ErrorBody(err, h.face.now()))
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), twinTimeout)
	defer cancel()
	err := r.do(ctx, r.query, r.rid, body)
	r.count.Done(began, err)
	if hub.CodeOf(err) == hub.ConnectionReplaced {
		(*h.link.Load()).Stop(err)
		return
	}
	if err != nil {
		h.answerTwin(hub.CodeOf(err).Status(), r.rid, twin.ErrorBody(err, h.face.now()))
		h.face.twinRefused(h, err)
	}
}

// getTwin answers with the twin. What a device sends with the request means
// nothing: Node and Python send a blank.
func (h *handler) getTwin(ctx context.Context, _, rid string, _ []byte) error {
	return h.copyOfTwin().Device(ctx, func(body []byte) { h.answerTwin(200, rid, body) })
}

// patchReported merges the body into the reported properties and answers with
// their new version.
func (h *handler) patchReported(ctx context.Context, query, rid string, body []byte) error {
	ifVersion, err := versionOf(query)
	if err != nil {
		return err
	}
	version, err := h.copyOfTwin().PatchReported(ctx, body, ifVersion)
	if err != nil {
		return err
	}
	h.answerTwin(204, rid+"&$version="+strconv.FormatInt(version, 10), nil)
	return nil
}

// versionOf is the version that Java's SDK insists on; 0 when there is none.
func versionOf(query string) (int64, error) {
	text := parameter(query, "$version")
	if text == "" {
		return 0, nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v <= 0 {
		return 0, hub.Errorf(hub.ArgumentInvalid, "$version is not a version of reported properties")
	}
	return v, nil
}

// answerTwin sends a response with QoS 0, as IoT Hub does, to a client that
// has subscribed to responses, now or in an earlier connection of its session.
func (h *handler) answerTwin(status int, rid string, body []byte) {
	h.sendTo(filterTwinResults, twinAnswer, gateway.Message{
		Topic:   prefixTwinResult + strconv.Itoa(status) + "/?$rid=" + rid,
		Payload: body,
	})
}

// notifyDesired tells the client of desired properties: the version is in the
// topic, for Java, and in the body, for all others.
func (h *handler) notifyDesired(n twin.Notification) (subscribed bool) {
	return h.sendTo(filterDesired, desiredChange, gateway.Message{
		Topic:   prefixTwinDesired + strconv.FormatInt(n.Version, 10),
		Payload: n.Body,
	})
}

// sendTo sends m if the client has subscribed to filter. That the connection
// has ended meanwhile matters to nobody.
func (h *handler) sendTo(filter string, k outgoing, m gateway.Message) (subscribed bool) {
	link := h.link.Load()
	if link == nil {
		return false
	}
	if _, subscribed = (*link).Subscription(filter); subscribed {
		_, err := (*link).Send(m)
		h.went(k, err)
	}
	return subscribed
}

// copyOfTwin is the connection's copy of the twin, made at its first use.
func (h *handler) copyOfTwin() *twin.Copy {
	h.twinOnce.Do(func() {
		owner := twin.Owner{Generation: h.generation}
		if l := h.link.Load(); l != nil {
			owner.Epoch, owner.Contested = (*l).Epoch()
		}
		h.twin.Store(h.face.Twins.Open(h.id, owner, h.notifyDesired))
	})
	return h.twin.Load()
}

// watchDesired begins to follow the desired properties if the client has
// subscribed to them; replay says whether to send them at once.
func (h *handler) watchDesired() {
	link := h.link.Load()
	if link == nil {
		return
	}
	if _, ok := (*link).Subscription(filterDesired); !ok {
		return
	}
	c := h.copyOfTwin()
	switch behind := c.Subscribed(); {
	case h.face.ReplayDesired:
		h.later(c.Replay)
	case behind:
		h.later(c.Sync)
	}
}

// later runs a step that waits for the store, in a goroutine of its own.
func (h *handler) later(step func(context.Context) error) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), twinTimeout)
		defer cancel()
		if err := step(ctx); err != nil {
			h.face.twinRefused(h, err)
		}
	}()
}

// TwinChanged tells a device that is connected here of a change by a back end.
// s must be the server of this face. Calls come one after another.
func (f *Face) TwinChanged(s *gateway.Server, a twin.Announcement) {
	h, ok := s.Handler(a.ID).(*handler)
	if !ok || h.face != f {
		return
	}
	if c := h.twin.Load(); c != nil && c.Announced(a) {
		h.later(c.Sync)
	}
}

// TwinWritten is for a write of the twin of a device that is connected here, a
// while after it: a device that has not been told of it yet is told now. s must
// be the server of this face.
func (f *Face) TwinWritten(s *gateway.Server, id hub.Identity, revision uint64) {
	h, ok := s.Handler(id).(*handler)
	if !ok || h.face != f {
		return
	}
	if c := h.twin.Load(); c != nil && c.Written(revision) {
		h.later(c.Sync)
	}
}

// TwinsMissed says that announcements may have been lost: every device that
// follows its desired properties is brought up to date.
func (f *Face) TwinsMissed(s *gateway.Server) {
	s.CheckAll(func(_ hub.Identity, any gateway.Handler) error {
		if h, ok := any.(*handler); ok && h.face == f {
			if c := h.twin.Load(); c != nil {
				c.Invalidate()
				h.later(c.Sync)
			}
		}
		return nil
	})
}

// twinRefused records a twin request that failed. The log has a line for the
// first of its kind; a device may send many.
func (f *Face) twinRefused(h *handler, err error) {
	level := zerolog.InfoLevel
	if !f.Timeline.Record(h.entry(timeline.TwinRefused, err)) {
		level = zerolog.DebugLevel
	}
	f.Log.WithLevel(level).Err(err).Str("device_id", h.id.Device).Str("module_id", h.id.Module).
		Int("code", int(hub.CodeOf(err))).Msg("twin request refused")
}

// parameter returns a parameter of a topic's query, as it was sent; empty when
// there is none.
func parameter(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}
