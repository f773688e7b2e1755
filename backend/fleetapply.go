package backend

import (
	"bytes"
	"strconv"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/session"
)

// The buckets that are followed.
const (
	deviceFeed = iota
	twinFeed
	presenceFeed
	feedCount
)

// twin takes the twin part of an identity, and keeps nothing of the text; own is the
// generation that it is of.
func (x *catalog) twin(id hub.Identity, text []byte, own generation, reading uint8) error {
	key := id.String()
	s := x.at(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, st := s.entries[key], s.strays[key]
	before := e
	e.seen[twinFeed] = reading
	st.twin = nil
	var err error
	if own.fits(e.record) {
		if err = x.of(id).Set(key, twinPart, text); err == nil {
			e.twin = own
		} else {
			x.noTwin(id, &e)
		}
	} else {
		st.twin, st.ofTwin, st.seen[twinFeed] = bytes.Clone(text), own, reading
		x.noTwin(id, &e)
	}
	s.keep(key, st)
	x.store(s, id, before, e)
	x.finish(s, id)
	return err
}

// twinGone takes that nothing is written of a twin.
func (x *catalog) twinGone(id hub.Identity) {
	key := id.String()
	s := x.at(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, st := s.entries[key], s.strays[key]
	before := e
	st.twin = nil
	s.keep(key, st)
	x.noTwin(id, &e)
	x.store(s, id, before, e)
	if before.twin != noGeneration {
		x.finish(s, id)
	}
}

// noTwin puts the twin of an identity in place that nobody has written.
func (x *catalog) noTwin(id hub.Identity, e *entry) {
	if e.twin == noGeneration {
		return
	}
	e.twin = noGeneration
	if e.record == noGeneration {
		x.of(id).Drop(id.String(), twinPart)
		return
	}
	_ = x.of(id).Set(id.String(), twinPart, defaultTwin(id, e.record.String())) // what the hub prints is JSON
}

// String is the generation id, as far as it is a number.
func (g generation) String() string { return strconv.FormatUint(uint64(g), 10) }

// session takes the session of an identity.
func (x *catalog) session(v session.Session, reading uint8) {
	key, own, a := v.ID.String(), x.generation(v.Generation), activityOf(v)
	text := presenceOf(v)
	s := x.at(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, st := s.entries[key], s.strays[key]
	before := e
	e.seen[presenceFeed] = reading
	st.session = nil
	if own.fits(e.record) {
		_ = x.of(v.ID).Set(key, presencePart, text)
		e.session, e.since, e.connected = own, stamp(a.StateUpdated), a.Connected
	} else {
		st.session, st.ofSession, st.since, st.connected = text, own, stamp(a.StateUpdated), a.Connected
		st.seen[presenceFeed] = reading
		x.noSession(v.ID, &e)
	}
	s.keep(key, st)
	x.store(s, v.ID, before, e)
	x.finish(s, v.ID)
}

// sessionGone takes that an identity has no session.
func (x *catalog) sessionGone(id hub.Identity) {
	key := id.String()
	s := x.at(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, st := s.entries[key], s.strays[key]
	before := e
	st.session = nil
	s.keep(key, st)
	x.noSession(id, &e)
	x.store(s, id, before, e)
	if before.session != noGeneration {
		x.finish(s, id)
	}
}

func (x *catalog) noSession(id hub.Identity, e *entry) {
	if e.session == noGeneration {
		return
	}
	x.of(id).Drop(id.String(), presencePart)
	e.session, e.since, e.connected = noGeneration, 0, false
}

// finish tells that a document is another one now. The lock of the shard is held.
func (x *catalog) finish(s *shard, id hub.Identity) {
	if s.entries[id.String()].record == noGeneration {
		return
	}
	x.changed(id)
}

// setVolatile writes the part of what is in no bucket. The lock of the shard is
// held.
func (x *catalog) setVolatile(s *shard, id hub.Identity) {
	key := id.String()
	if text := volatileOf(s.messages[key], s.targeted[key]); text != nil && s.entries[key].record != noGeneration {
		_ = x.of(id).Set(key, volatilePart, text)
	} else {
		x.of(id).Drop(key, volatilePart)
	}
}

// queued takes how many messages wait for a device.
func (x *catalog) queued(device string, messages int) {
	id := hub.Identity{Device: device}
	s := x.at(device)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.messages[device] == messages {
		return
	}
	if messages == 0 {
		delete(s.messages, device)
	} else {
		s.messages[device] = messages
	}
	x.setVolatile(s, id)
	if s.entries[device].record != noGeneration {
		x.changed(id)
	}
}

// activity is what is known of a session without reading the store.
func (x *catalog) activity(id hub.Identity) identity.Activity {
	key := id.String()
	s := x.at(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, at := s.entries[key], timeOfStamp(s.entries[key].since)
	return identity.Activity{Connected: e.connected, StateUpdated: at, LastActivity: at, Messages: s.messages[key]}
}

// sweep removes what a reading of a whole bucket has not told of.
func (x *catalog) sweep(feed int, reading uint8) {
	for i := range x.shards {
		x.shards[i].forget(feed, reading)
		for _, id := range x.shards[i].unseen(feed, reading) {
			switch feed {
			case deviceFeed:
				x.recordGone(id)
			case twinFeed:
				x.twinGone(id)
			case presenceFeed:
				x.sessionGone(id)
			}
		}
	}
}

// forget drops what has strayed and the reading has not told of.
func (s *shard) forget(feed int, reading uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, st := range s.strays {
		if st.seen[feed] == reading {
			continue
		}
		switch feed {
		case twinFeed:
			st.twin = nil
		case presenceFeed:
			st.session = nil
		}
		s.keep(key, st)
	}
}

func (s *shard) unseen(feed int, reading uint8) []hub.Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []hub.Identity
	for key, e := range s.entries {
		has := [feedCount]bool{e.record != noGeneration, e.twin != noGeneration, e.session != noGeneration}[feed]
		if id, err := hub.ParseIdentity(key); has && e.seen[feed] != reading && err == nil {
			gone = append(gone, id)
		}
	}
	return gone
}
