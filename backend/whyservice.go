package backend

import (
	"context"
	"strconv"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/timeline"
)

// WhyService answers back-end apps who ask over NATS why a device, or whoever
// is at an address, is not served.
type WhyService struct {
	responder

	registry *identity.Registry
	sessions *SessionStore
	timeline *TimelineStore
	recorder *timeline.Recorder
	micro    micro.Service
}

// ServeWhy registers the NATS service hub-why, until Stop or until the backbone
// is closed. Several nodes share the requests; nats micro stats shows what each
// has counted by code.
func (b *Backbone) ServeWhy(r *identity.Registry) (*WhyService, error) {
	s := &WhyService{
		responder: b.responder("why"),
		registry:  r, sessions: b.sessions, timeline: b.timeline, recorder: b.recorder,
	}
	var err error
	s.micro, err = b.service(micro.Config{Name: b.names.WhyName(), Description: "why devices are refused, cut or not obeyed", StatsHandler: s.stats}, s.endpoints(), s.handler)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stop takes no more requests.
func (s *WhyService) Stop() error { return s.micro.Stop() }

func (s *WhyService) endpoints() []endpoint {
	return []endpoint{
		{"device", s.names.WhyAll(), "why", emptySchema, whySchema, s.device},
		{"address", s.names.WhyAddressAll(), "", emptySchema, whyAddressSchema, s.address},
	}
}

// device answers hub.why.{device}[.{module}].
func (s *WhyService) device(ctx context.Context, r request) (any, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return nil, err
	}
	w := timeline.Report{DeviceID: r.id.Device, ModuleID: r.id.Module}
	record, unknown := s.registry.Get(ctx, r.id)
	switch hub.CodeOf(unknown) {
	case 0:
		w.Registered, w.Status, w.StatusReason = true, string(record.Status), record.StatusReason
	case hub.DeviceNotFound, hub.ModuleNotFound:
	default:
		return nil, unknown
	}
	var err error
	if w.Entries, err = s.entriesOf(ctx, r.id); err != nil {
		return nil, err
	}
	if unknown != nil && len(w.Entries) == 0 {
		return nil, unknown
	}
	last, err := s.sessions.read(ctx, r.id)
	w.Connection = connectionOf(last)
	return w, err
}

// entriesOf returns the entries of a device and its modules, or of a module.
func (s *WhyService) entriesOf(ctx context.Context, id hub.Identity) ([]timeline.Entry, error) {
	all, err := s.timeline.OfDevice(ctx, id.Device)
	own := []timeline.Entry{}
	for _, e := range all {
		if !id.IsModule() || e.ID == id || e.Claimed == id.String() {
			own = append(own, e)
		}
	}
	return own, err
}

func connectionOf(s session.Session) *timeline.Connection {
	if s.Node == "" {
		return nil
	}
	c := &timeline.Connection{
		Connected: s.Connected, Node: s.Node, Remote: s.Remote, ClientAgent: s.ClientAgent, Since: s.ConnectedTime.UTC(),
	}
	if !s.Connected {
		c.Ended, c.Reason, c.Code = s.DisconnectedTime.UTC(), s.Reason, s.Code
	}
	return c
}

// address answers hub.why-address.{address}.
func (s *WhyService) address(ctx context.Context, r request) (any, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return nil, err
	}
	text, err := s.names.ParseWhyAddress(r.subject)
	if err != nil {
		return nil, err
	}
	w := timeline.AddressReport{Entries: []timeline.Entry{}}
	if w.Address, err = timeline.ParseAddress(text); err != nil {
		return nil, err
	}
	entries, err := s.timeline.OfAddress(ctx, w.Address)
	w.Entries = append(w.Entries, entries...)
	return w, err
}

// stats is what nats micro stats shows of this node beside its own numbers.
func (s *WhyService) stats(*micro.Endpoint) any {
	counts, dropped := s.recorder.Counts()
	byCode := make(map[string]uint64, len(counts))
	for code, n := range counts {
		byCode[strconv.Itoa(int(code))] = n
	}
	return map[string]any{"by_code": byCode, "not_kept": dropped}
}
