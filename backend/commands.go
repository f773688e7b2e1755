package backend

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// CommandStore keeps commands in the bucket hub_commands: one key each, its
// value the command's JSON. It is safe for concurrent use.
type CommandStore struct{ bucket *bucket }

var _ methods.CommandStore = (*CommandStore)(nil)

// Create implements [methods.CommandStore].
func (s *CommandStore) Create(ctx context.Context, c *methods.Command) error {
	return s.write(ctx, c, 0)
}

// Update implements [methods.CommandStore].
func (s *CommandStore) Update(ctx context.Context, c *methods.Command) error {
	return s.write(ctx, c, c.Revision)
}

func (s *CommandStore) write(ctx context.Context, c *methods.Command, rev uint64) error {
	value, err := json.Marshal(c)
	if err != nil {
		return hub.Errorf(hub.ServerError, "write the command %s as JSON: %w", c.ID, err)
	}
	rev, err = s.bucket.put(ctx, subject.CommandKey(c.For, c.ID), value, rev)
	if err != nil {
		return s.fault(c.For, c.ID, err)
	}
	c.Revision = rev
	return nil
}

// Remove implements [methods.CommandStore].
func (s *CommandStore) Remove(ctx context.Context, c methods.Command) error {
	return s.fault(c.For, c.ID, s.bucket.remove(ctx, subject.CommandKey(c.For, c.ID), c.Revision))
}

// Get implements [methods.CommandStore].
func (s *CommandStore) Get(ctx context.Context, id hub.Identity, command string) (methods.Command, error) {
	e, err := s.bucket.get(ctx, subject.CommandKey(id, command))
	if err != nil {
		return methods.Command{}, s.fault(id, command, err)
	}
	return decodeCommand(e)
}

// Watch implements [methods.CommandStore].
func (s *CommandStore) Watch(ctx context.Context, told methods.Watcher) error {
	for ctx.Err() == nil {
		told.Loading()
		_, err := s.bucket.follow(ctx, 0, func(e jetstream.KeyValueEntry) { tell(told, e) })
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// tell passes a watched entry on; nil is the end of what was there at first.
// What the hub has not written is passed over.
func tell(told methods.Watcher, e jetstream.KeyValueEntry) {
	if e == nil {
		told.Loaded()
		return
	}
	if e.Operation() == jetstream.KeyValuePut {
		if c, err := decodeCommand(e); err == nil {
			told.Stored(c)
		}
		return
	}
	if id, command, err := subject.ParseCommandKey(e.Key()); err == nil {
		told.Removed(methods.Command{For: id, ID: command, Revision: e.Revision()})
	}
}

func decodeCommand(e jetstream.KeyValueEntry) (methods.Command, error) {
	id, command, err := subject.ParseCommandKey(e.Key())
	if err != nil {
		return methods.Command{}, err
	}
	var c methods.Command
	if err := json.Unmarshal(e.Value(), &c); err != nil {
		return methods.Command{}, hub.Errorf(hub.ServerError, "the command %s is damaged: %w", command, err)
	}
	if c.State == methods.Finished && (c.Result == nil || !c.Result.Outcome.Valid()) {
		return methods.Command{}, hub.Errorf(hub.ServerError, "the command %s is damaged: it is finished without a result", command)
	}
	c.For, c.ID, c.Revision = id, command, e.Revision()
	return c, nil
}

// fault says of a failure of the bucket what it means for a command.
func (s *CommandStore) fault(id hub.Identity, command string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errStale):
		return hub.Errorf(hub.PreconditionFailed, "the command %s has been changed meanwhile", command)
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return hub.Errorf(hub.JobNotFound, "no command %s waits for %s", command, id)
	case apiCode(err) == errStoreFull:
		return hub.Errorf(hub.QuotaExceeded, "there is no room for more commands: %w", err)
	default:
		return err
	}
}
