package backend

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

const (
	timelineDepth         = 64 // entries of one device, its modules included
	strangerDepth         = 16 // entries of one address or unknown device
	defaultTimelineBytes  = 256 << 20
	defaultStrangersBytes = 32 << 20
	defaultTimelineAge    = 30 * 24 * time.Hour
)

// timelineAssets are the streams of timelines. The newest entries of a subject
// displace its oldest.
func (c Config) timelineAssets() []asset {
	n := c.names()
	devices := c.stream(n.TimelineStream(), n.TimelineAll(), c.Timeline, defaultTimelineBytes)
	if c.Timeline.MaxAge == 0 {
		devices.want.MaxAge = defaultTimelineAge
	}
	devices.want.MaxMsgsPerSubject = timelineDepth
	strangers := c.stream(n.StrangersStream(), "", Limits{}, defaultStrangersBytes)
	strangers.want.Subjects = n.StrangersAll()
	strangers.want.MaxMsgsPerSubject = strangerDepth
	return []asset{devices, strangers}
}

// TimelineStore keeps the entries of timelines in HUB_TIMELINE and
// HUB_STRANGERS, one subject for each device, address and unknown device, and
// reads them by direct gets. It is safe for concurrent use.
type TimelineStore struct {
	nc        *nats.Conn
	names     subject.Names
	log       zerolog.Logger
	devices   jetstream.Stream
	strangers jetstream.Stream
}

var _ timeline.Store = (*TimelineStore)(nil)

func (b *Backbone) openTimeline(ctx context.Context) error {
	s := &TimelineStore{nc: b.nc, names: b.names, log: b.cfg.Log}
	var err error
	if s.devices, err = openStream(ctx, b.js, b.names.TimelineStream()); err != nil {
		return err
	}
	if s.strangers, err = openStream(ctx, b.js, b.names.StrangersStream()); err != nil {
		return err
	}
	b.timeline, b.recorder = s, timeline.NewRecorder(s, b.cfg.Node)
	return nil
}

// Recorder takes the entries of timelines.
func (b *Backbone) Recorder() *timeline.Recorder { return b.recorder }

// Append implements [timeline.Store]. Nobody waits for the acknowledgement.
func (s *TimelineStore) Append(e timeline.Entry) {
	body, err := json.Marshal(e)
	if err != nil {
		s.lost(err)
		return
	}
	for _, to := range s.subjectsOf(e) {
		if err := s.nc.Publish(to, body); err != nil {
			s.lost(err)
		}
	}
}

func (s *TimelineStore) lost(err error) {
	s.log.Debug().Err(err).Msg("an entry of a timeline was lost")
}

// subjectsOf says where an entry goes. Whoever asks about a device or module
// that does not exist wants to hear who calls himself that.
func (s *TimelineStore) subjectsOf(e timeline.Entry) []string {
	if e.ID.Device != "" {
		return []string{s.names.Timeline(e.ID.Device)}
	}
	var to []string
	if address := timeline.AddressOf(e.Remote); address != "" {
		to = append(to, s.names.TimelineOfAddress(address))
	}
	if e.Code == hub.DeviceNotFound || e.Code == hub.ModuleNotFound {
		if id, err := hub.ParseIdentity(e.Claimed); err == nil {
			to = append(to, s.names.TimelineOfUnknown(id.Device))
		}
	}
	return to
}

// OfDevice returns the entries of a device and its modules, the oldest first;
// of a device that does not exist, those of clients that call themselves so.
func (s *TimelineStore) OfDevice(ctx context.Context, device string) ([]timeline.Entry, error) {
	known, err := s.read(ctx, s.devices, s.names.Timeline(device))
	if err != nil {
		return nil, err
	}
	unknown, err := s.read(ctx, s.strangers, s.names.TimelineOfUnknown(device))
	if err != nil {
		return nil, err
	}
	return timeline.Merge(known, unknown), nil
}

// OfAddress returns the entries of an address as [timeline.AddressOf] writes
// it, the oldest first.
func (s *TimelineStore) OfAddress(ctx context.Context, address string) ([]timeline.Entry, error) {
	entries, err := s.read(ctx, s.strangers, s.names.TimelineOfAddress(address))
	return timeline.Merge(entries, nil), err
}

// read returns the messages of one subject. What is not an entry is passed
// over: anybody with the right may have published it.
func (s *TimelineStore) read(ctx context.Context, from jetstream.Stream, subjects string) ([]timeline.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var entries []timeline.Entry
	for next := uint64(1); ; {
		raw, err := from.GetMsg(ctx, next, jetstream.WithGetMsgSubject(subjects))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return entries, nil
		}
		if err != nil {
			return nil, hub.Errorf(hub.ServiceUnavailable, "read %s: %w", subjects, err)
		}
		var e timeline.Entry
		if json.Unmarshal(raw.Data, &e) == nil {
			entries = append(entries, e)
		}
		next = raw.Sequence + 1
	}
}
