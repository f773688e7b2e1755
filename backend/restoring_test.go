package backend

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// offline is JetStream when the server of a stream is away.
type offline struct{ jetstream.JetStream }

func (offline) Stream(context.Context, string) (jetstream.Stream, error) {
	return nil, &jetstream.APIError{Code: 500, ErrorCode: errStreamOffline, Description: "stream is offline"}
}

// TestRestoreMarkIsAway: nobody can say then whether the hub is being restored.
func TestRestoreMarkIsAway(t *testing.T) {
	b := &Backbone{js: offline{}}
	if err := b.whole(t.Context()); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("whole: %v", err)
	}
}
