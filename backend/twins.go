package backend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/twin"
)

// TwinStore keeps twins in the bucket hub_twins: one key each, its value the
// JSON that IoT Hub prints of a twin, its revision the key's. The generation of
// the identity, who wrote and what was done are headers of the message behind
// the key. A twin that nobody has written has no key. It is safe for concurrent
// use.
type TwinStore struct {
	bucket  *bucket
	claims  *bucket // of sessions
	devices identity.Store
	events  *Events
	names   subject.Names
	nc      *nats.Conn
	log     zerolog.Logger
}

var _ twin.Store = (*TwinStore)(nil)

const (
	maxTwinBytes = 4 << 30
	twinHistory  = 10
	// What the headers and the envelope of a twin take of a NATS message.
	twinOverhead = 4 << 10
)

// twinBucket is the bucket of twins. A twin of many small properties is large
// for its metadata: the limit is that of NATS messages, see [TwinStore.Put].
func (c Config) twinBucket() asset {
	a := c.bucket(c.names().TwinBucket(), "twins of devices and modules", maxTwinBytes)
	a.want.MaxMsgsPerSubject = twinHistory
	a.want.MaxMsgSize = -1
	return a
}

// openTwins opens the store once the buckets and the events are there.
func (b *Backbone) openTwins(ctx context.Context) error {
	bucket, err := openBucket(ctx, b.js, b.names.TwinBucket())
	if err != nil {
		return err
	}
	b.twins = &TwinStore{
		bucket: bucket, claims: b.sessions.bucket, devices: b.devices, events: b.events,
		names: b.names, nc: b.nc, log: b.cfg.Log,
	}
	b.devices.twins = bucket
	return nil
}

// Twins is the store of twins.
func (b *Backbone) Twins() *TwinStore { return b.twins }

// Get implements [twin.Store].
func (s *TwinStore) Get(ctx context.Context, id hub.Identity) (twin.Twin, error) {
	t, _, err := s.withRecord(ctx, id)
	return t, err
}

// withRecord returns a twin and the identity that it is of: two reads, the twin
// first, so that a deletion between them is met by the compare-and-set of
// whoever writes next.
func (s *TwinStore) withRecord(ctx context.Context, id hub.Identity) (twin.Twin, identity.Record, error) {
	stored, err := s.read(ctx, id)
	if err != nil {
		return twin.Twin{}, identity.Record{}, err
	}
	r, err := s.devices.Get(ctx, id)
	if err != nil {
		return twin.Twin{}, identity.Record{}, err
	}
	t, err := twinOf(r, stored)
	return t, r, err
}

// twinOf is the twin of an identity, of which stored is the last message.
func twinOf(r identity.Record, stored *direct.Message) (twin.Twin, error) {
	if stored == nil || gone(stored) || !of(stored.Header, r) {
		t := twin.New(r.ID, r.GenerationID, r.CreatedTime)
		if stored != nil {
			t.Revision = stored.Sequence
		}
		return t, nil
	}
	t, err := twin.Parse(stored.Data)
	if err == nil && t.ID != r.ID {
		err = hub.Errorf(hub.ServerError, "it is that of %s", t.ID)
	}
	if err != nil {
		return twin.Twin{}, hub.Errorf(hub.ServerError, "the stored twin of %s is damaged: %w", r.ID, err)
	}
	t.Generation, t.Revision = r.GenerationID, stored.Sequence
	t.Epoch, _ = strconv.ParseUint(stored.Header.Get(subject.EpochHeader), 10, 64) // what is none is before all
	return t, nil
}

// read returns the last message of a twin's key, nil if there is none.
func (s *TwinStore) read(ctx context.Context, id hub.Identity) (*direct.Message, error) {
	m, err := s.bucket.last(ctx, subject.Key(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return m, s.bucket.fault("read", subject.Key(id), err)
}

// gone reports whether a message marks a deleted key.
func gone(m *direct.Message) bool { return isMarker(m.Header) }

// of reports whether a twin belongs to this identity, and not to an earlier one
// of the same name. What an operator has put there by hand belongs to anyone.
func of(h direct.Headers, r identity.Record) bool {
	generation := h.Get(subject.GenerationHeader)
	return generation == "" || generation == r.GenerationID
}

// Put implements [twin.Store]: one compare-and-set, then the event and, unless
// the device itself wrote, the announcement.
func (s *TwinStore) Put(ctx context.Context, next twin.Twin, c twin.Change) (uint64, error) {
	c.By = author(c.By)
	text, _ := texts.Get().(*[]byte)
	defer texts.Put(text)
	*text = next.AppendJSON((*text)[:0])
	if limit := s.nc.MaxPayload() - twinOverhead; int64(len(*text)) > limit {
		return 0, hub.Errorf(hub.TooManyProperties, "the twin of %s has too many properties: with its metadata it would have %d bytes, and NATS takes %d; raise max_payload, or use fewer and longer ones", next.ID, len(*text), limit)
	}
	revision, err := s.write(ctx, next, twinHeaders(next, c), *text)
	if err != nil || c.Op == "" {
		return revision, err
	}
	s.events.twinChanged(next.ID, c)
	if !c.Reported {
		s.announce(next.ID, revision, c)
	}
	return revision, nil
}

// Claimed implements [twin.Store].
func (s *TwinStore) Claimed(ctx context.Context, epoch uint64) (bool, error) {
	return s.claims.claimed(ctx, epoch)
}

// Written implements [twin.Store].
func (s *TwinStore) Written(ctx context.Context, revision uint64) (bool, error) {
	last, err := s.bucket.lastRevision(ctx)
	return revision <= last, err
}

// twinHeaders are those of the message of a twin.
func twinHeaders(next twin.Twin, c twin.Change) []direct.Header {
	const most = 5 // with that of a compare-and-set
	all := append(make([]direct.Header, 0, most), direct.Header{Name: subject.GenerationHeader, Value: next.Generation})
	if next.Epoch != 0 {
		all = append(all, direct.Header{Name: subject.EpochHeader, Value: strconv.FormatUint(next.Epoch, 10)})
	}
	if c.Op != "" {
		all = append(all, direct.Header{Name: subject.OpHeader, Value: string(c.Op)})
	}
	if c.Op != "" && c.By != "" {
		all = append(all, direct.Header{Name: subject.ByHeader, Value: c.By})
	}
	return all
}

func (s *TwinStore) write(ctx context.Context, next twin.Twin, headers []direct.Header, text []byte) (uint64, error) {
	r := direct.Request{Subject: s.bucket.putSubject(subject.Key(next.ID)), Headers: headers, Data: text}
	revision, err := s.bucket.writer.replace(ctx, r, next.Revision)
	if err := s.bucket.fault("write", subject.Key(next.ID), err); err != nil {
		if errors.Is(err, errStale) {
			return 0, hub.Errorf(hub.PreconditionFailed, "the twin of %s has been written meanwhile", next.ID)
		}
		return 0, err
	}
	s.bucket.wrote(revision)
	return revision, nil
}

// maxAuthor is how much of a writer's name is kept, in bytes.
const maxAuthor = 128

// author makes a name fit for a header.
func author(by string) string {
	by = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return -1
	}, by)
	if len(by) > maxAuthor {
		by = strings.ToValidUTF8(by[:maxAuthor], "")
	}
	return strings.TrimSpace(by)
}

// announcement is the body on hub.session.twin.{device}[.{module}].
type announcement struct {
	Revision uint64          `json:"revision"`
	Version  int64           `json:"version,omitempty"`
	Patch    json.RawMessage `json:"patch,omitempty"`
}

// announce tells the node that has the device's connection. The write holds
// without it: who misses it sees the gap in the versions of the next one.
func (s *TwinStore) announce(id hub.Identity, revision uint64, c twin.Change) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // the device gets strings as they were sent
	err := enc.Encode(announcement{revision, c.Desired.Version, c.Desired.Body})
	if err == nil {
		err = s.nc.Publish(s.names.TwinWritten(id), body.Bytes())
	}
	if err != nil {
		s.log.Warn().Err(err).Str("device_id", id.Device).Str("module_id", id.Module).Msg("a write of a twin could not be announced")
	}
}

// twinBuffer holds announcements until they are seen.
const twinBuffer = 16 << 10

// Watch calls written, from one goroutine, for what back ends write anywhere
// from now on, until ctx ends. It calls lost when announcements may have been
// missed, because the connection to NATS was interrupted or too many came at
// once: then every copy of a twin has to be synchronised. Neither may wait for
// long.
func (s *TwinStore) Watch(ctx context.Context, written func(twin.Announcement), lost func()) error {
	back := s.nc.StatusChanged(nats.CONNECTED)
	defer s.nc.RemoveStatusListener(back)
	messages := make(chan *nats.Msg, twinBuffer)
	sub, err := s.nc.ChanSubscribe(s.names.TwinWrittenAll(), messages)
	if err == nil {
		err = s.nc.FlushTimeout(requestTimeout)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "subscribe to writes of twins: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	dropped := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-back:
			lost()
		case m := <-messages:
			if a, ok := s.announcement(m); ok {
				written(a)
			}
			if n, err := sub.Dropped(); err == nil && n > dropped {
				dropped = n
				lost()
			}
		}
	}
}

func (s *TwinStore) announcement(m *nats.Msg) (twin.Announcement, bool) {
	id, err := s.names.Parse("session.twin", m.Subject)
	if err != nil || !isAnnounced(m) {
		return twin.Announcement{}, false
	}
	var a announcement
	if json.Unmarshal(m.Data, &a) != nil {
		return twin.Announcement{}, false
	}
	return twin.Announcement{ID: id, Revision: a.Revision, Desired: twin.Notification{Version: a.Version, Body: a.Patch}}, true
}

// twinChanged tells of a write of a twin.
func (v *Events) twinChanged(id hub.Identity, c twin.Change) {
	v.enqueue(&notice{
		events: v, id: id, subject: v.names.TwinEvent(id), body: c.Event,
		at: c.Time, kind: kind{twin.EventSource, twin.EventSchema, string(c.Op)}, by: c.By,
	})
}
