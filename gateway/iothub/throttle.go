package iothub

import (
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// allow counts an operation of the connection, or says why it is refused.
func (h *handler) allow(k gateway.Kind, n int) error {
	e := h.account.Allow(k, n, time.Now())
	if e == nil {
		return nil
	}
	if e.First {
		h.throttled(e.Err)
	}
	return e.Err
}

// allowRequest is allow for what the client itself asks for. It ends a
// connection that goes on and on in spite of what it is answered.
func (h *handler) allowRequest(k gateway.Kind) error {
	e := h.account.Allow(k, 1, time.Now())
	if e == nil {
		return nil
	}
	if e.First {
		h.throttled(e.Err)
	}
	if link := h.link.Load(); e.Cut && link != nil {
		(*link).Stop(e.Err)
	}
	return e.Err
}

// throttled records that a limit is exceeded.
func (h *handler) throttled(err error) {
	level := zerolog.InfoLevel
	if !h.face.Timeline.Record(h.entry(timeline.Throttled, err)) {
		level = zerolog.DebugLevel
	}
	h.face.Log.WithLevel(level).Err(err).Str("device_id", h.id.Device).Str("module_id", h.id.Module).
		Int("code", int(hub.CodeOf(err))).Msg("throttled")
}

// allowCall counts a call of a direct method.
func (h *handler) allowCall(size int) error {
	if err := h.allow(gateway.Methods, 1); err != nil {
		return err
	}
	meters := max((size+gateway.MethodMeter-1)/gateway.MethodMeter, 1)
	return h.allow(gateway.MethodBytes, meters*gateway.MethodMeter)
}
