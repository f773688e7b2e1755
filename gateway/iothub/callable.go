package iothub

import (
	"strings"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
)

// Ready reports whether the device or module id can be called by this method:
// it is connected to s, the server of this face, and has subscribed.
func (f *Face) Ready(s *gateway.Server, id hub.Identity, method string) bool {
	h, ok := s.Handler(id).(*handler)
	if !ok {
		return false
	}
	link := h.link.Load()
	if link == nil {
		return false
	}
	_, ok = methodQoS(*link, method)
	return ok
}

// resumedMethods tells of a session that was resumed with its subscription.
// One that names single methods is found by who asks for them.
func (h *handler) resumedMethods(l gateway.Link) {
	if _, ok := l.Subscription(prefixMethods + "#"); ok {
		h.tellCallable()
	}
}

// noteMethods remembers that SUBSCRIBE is about methods.
func (h *handler) noteMethods(filter string) {
	if strings.HasPrefix(filter, prefixMethods) {
		h.callable = true
	}
}

// subscribedMethods tells of it when SUBSCRIBE has been answered.
func (h *handler) subscribedMethods() {
	if h.callable {
		h.callable = false
		h.tellCallable()
	}
}

func (h *handler) tellCallable() {
	if h.face.Callable != nil {
		h.face.Callable(h.id)
	}
}
