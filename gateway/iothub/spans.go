package iothub

import (
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/span"
	"github.com/hubgate/hubgate/telemetry"
)

// trace begins the span of a message that is about to be stored. It ends when the
// message's PUBACK is ready.
func (h *handler) trace(m *telemetry.Message, done telemetry.Receipt, tag uint64) {
	if h.face.Tracer == nil {
		return
	}
	end, ok := done.(gateway.Traceable)
	if !ok {
		return
	}
	about := span.About{ID: h.id, Size: len(m.Body), Began: end.Came()}
	s, next := h.face.Tracer.Begin(span.Message, about, m.TraceProperties())
	m.Trace = next
	if s != nil {
		end.Trace(tag, s)
	}
}

// traceCall begins the span of a call that is about to be sent to the device; nil
// if it is in no trace.
func (h *handler) traceCall(c methods.Call) span.Span {
	if h.face.Tracer == nil || c.Trace.IsZero() {
		return nil
	}
	about := span.About{ID: h.id, Method: c.Method, Destination: prefixMethods + c.Method + "/", Size: len(c.Payload)}
	s, _ := h.face.Tracer.Begin(span.Ask, about, c.Trace)
	return s
}
