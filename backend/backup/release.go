package backup

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// Reason is why the connections have ended that were there when the backup was
// made.
const Reason = "the hub has been restored from a backup"

// release takes a session from its owner: whoever that was, he is gone. Without
// an epoch of its own in the value, the new revision is the epoch, and nobody
// has it. The will of the connection is owed to those who wait for it, and the
// next claim sends it. It returns the events that are owed to those who follow
// connections.
func release(r *record, now time.Time) []session.Event {
	var s map[string]json.RawMessage
	id, err := subject.ParseKey(r.Key)
	if err != nil || r.Header.Get(kvOperation) != "" || json.Unmarshal(r.Value, &s) != nil {
		return nil // no session, or a damaged one, which counts as none
	}
	was := struct {
		session.Session
		Epoch uint64 `json:"epoch"`
	}{Epoch: r.Seq} // of a claim, which has no epoch in it
	if json.Unmarshal(r.Value, &was) != nil {
		return nil
	}
	events := owedEvents(id, was.Session, was.Epoch, now)
	for _, name := range []string{"epoch", "repairedBy", "ends", "will"} {
		delete(s, name)
	}
	set := func(name string, value any) {
		s[name], _ = json.Marshal(value) //nolint:errchkjson // all of them can be written
	}
	if was.WillID != "" && !slices.Contains(was.Owed, was.WillID) {
		set("owed", append(was.Owed, was.WillID))
	}
	if was.Connected {
		set("connected", false)
		set("disconnectedTime", now)
		set("reason", Reason)
		set("errorCode", hub.ServiceUnavailable)
	}
	r.Value, _ = json.Marshal(s) //nolint:errchkjson // it was JSON
	return events
}

// owedEvents are the ends of a connection, and of those before it that may not
// have been told.
func owedEvents(id hub.Identity, was session.Session, epoch uint64, now time.Time) []session.Event {
	if !was.Connected {
		return nil
	}
	was.ID, was.Epoch = id, epoch
	var events []session.Event
	for i := range was.Ends {
		events = append(events, was.Ends[i].Ended(id))
	}
	was.Connected, was.DisconnectedTime, was.Reason, was.Code = false, now, Reason, hub.ServiceUnavailable
	return append(events, was.Ended())
}

// kvOperation marks the message of a deleted key.
const kvOperation = "KV-Operation"

// feedbackKeys begins the keys of locks, which no device has.
const feedbackKeys = "feedback."

// dropped reports whether a record is left out: who has a batch of feedback. That
// ended with his connection.
func (r *restoring) dropped(rec record, stream string) bool {
	return stream == bucketPrefix+r.names().C2DBucket() && strings.HasPrefix(rec.Key, feedbackKeys)
}

// fit makes a record of a bucket to what it is in the restored hub.
func (r *restoring) fit(rec *record, stream string) {
	switch stream {
	case bucketPrefix + r.names().PresenceBucket():
		events := release(rec, r.now)
		r.owed = append(r.owed, events...)
		if len(events) > 0 {
			r.released++
		}
	case bucketPrefix + r.names().WillBucket():
		if !r.hasTelemetry() {
			rec.Value = unsent(rec.Value)
		}
	}
}

// hasTelemetry reports whether the backup has what devices have sent.
func (r *restoring) hasTelemetry() bool {
	return slices.ContainsFunc(r.manifest.Assets, func(a Asset) bool {
		return strings.HasPrefix(a.Stream, r.names().TelemetryStream())
	})
}

// unsent forgets where in a stream a will was to go: that stream is another one
// now.
func unsent(will []byte) []byte {
	var w map[string]json.RawMessage
	if json.Unmarshal(will, &w) != nil {
		return will
	}
	delete(w, "sending")
	text, err := json.Marshal(w)
	if err != nil {
		return will
	}
	return text
}
