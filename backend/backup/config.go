package backup

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/hub"
)

// leap is how far the revisions of a restored bucket are beyond those of the
// backup: more than any hub writes between a backup and its end. Whoever has an
// epoch or a revision from that time, and is still there, fits nothing.
const leap = 1 << 32

// isMirror reports whether a stream is the copy of another one, into which nobody
// writes.
func isMirror(config map[string]json.RawMessage) bool {
	origin, ok := config["mirror"]
	return ok && string(origin) != "null"
}

// fillsItself reports whether the stream of a bucket is a mirror: it gets its values
// from where it has them, in this hub as in the one that was copied.
func (a Asset) fillsItself() bool {
	var config map[string]json.RawMessage
	return a.Bucket && json.Unmarshal(a.Config, &config) == nil && isMirror(config)
}

// configFor is the configuration of a stream as it is made again. What this
// version does not know of it is kept.
func configFor(a Asset, replicas int, place backend.Placement) (json.RawMessage, error) {
	damaged := func(err error) error {
		return hub.Errorf(hub.ArgumentInvalid, "the backup is damaged: the configuration of %s: %w", a.Stream, err)
	}
	var config map[string]json.RawMessage
	if err := json.Unmarshal(a.Config, &config); err != nil {
		return nil, damaged(err)
	}
	if config == nil {
		return nil, damaged(errors.New("it is null"))
	}
	var err error
	if replicas > 0 {
		config["num_replicas"], err = json.Marshal(replicas)
	}
	if at := place.Stream(); at != nil && err == nil {
		config["placement"], err = json.Marshal(at)
	}
	if a.Bucket && err == nil && !isMirror(config) {
		config["first_seq"], err = json.Marshal(a.LastSeq + leap)
	}
	if err != nil {
		return nil, damaged(err)
	}
	if err := dropNotes(config); err != nil {
		return nil, damaged(err)
	}
	return json.Marshal(config)
}

// dropNotes removes the server's own notes from the metadata.
func dropNotes(config map[string]json.RawMessage) error {
	text, ok := config["metadata"]
	if !ok {
		return nil
	}
	var metadata map[string]string
	if err := json.Unmarshal(text, &metadata); err != nil {
		return err
	}
	for name := range metadata {
		if strings.HasPrefix(name, "_nats.") {
			delete(metadata, name)
		}
	}
	var err error
	config["metadata"], err = json.Marshal(metadata)
	return err
}
