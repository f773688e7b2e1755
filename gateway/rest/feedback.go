package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

// Feedback is the queue of what became of cloud-to-device messages.
type Feedback interface {
	// Take locks the records that come next. A batch without records has no
	// token: there is nothing that is not locked.
	Take(ctx context.Context) (c2d.Batch, error)
	// Complete takes the records of a batch out of the queue. It fails with
	// LockLost when the lock is over, or has been given back.
	Complete(ctx context.Context, token string) error
	// Abandon gives the records of a batch back. It fails as Complete does.
	Abandon(ctx context.Context, token string) error
}

// takeFeedback answers GET /messages/serviceBound/feedback. The token of the
// lock is the ETag.
func (s *Server) takeFeedback(c *call) (reply, error) {
	batch, err := s.Feedback.Take(c.ctx())
	if err != nil || len(batch.Records) == 0 {
		return reply{status: http.StatusNoContent}, err
	}
	for i := range batch.Records {
		at := &batch.Records[i].Time
		*at = at.UTC().Truncate(100 * time.Nanosecond) // IoT Hub has seven digits
	}
	return withETag(batch.Records, batch.Token), nil
}

// completeFeedback answers DELETE /messages/serviceBound/feedback/{token}.
func (s *Server) completeFeedback(c *call) (reply, error) {
	return settle(c, s.Feedback.Complete)
}

// abandonFeedback answers POST /messages/serviceBound/feedback/{token}/abandon.
func (s *Server) abandonFeedback(c *call) (reply, error) {
	return settle(c, s.Feedback.Abandon)
}

func settle(c *call, f func(ctx context.Context, token string) error) (reply, error) {
	token := strings.Trim(c.params["token"], `"`) // as an ETag has them
	if token == "" {
		return reply{}, hub.Errorf(hub.ArgumentNull, "the path has no lock token")
	}
	return reply{status: http.StatusNoContent}, f(c.ctx(), token)
}
