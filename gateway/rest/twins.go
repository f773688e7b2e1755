package rest

import (
	"context"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/query"
	"github.com/hubgate/hubgate/twin"
)

// Fleet is all devices and modules with what the registry, the sessions and the
// queues know of them.
type Fleet interface {
	// View is a twin as it is now. It fails with DeviceNotFound or
	// ModuleNotFound.
	View(ctx context.Context, id hub.Identity) (twin.View, error)
	// Complete adds to a twin what others know.
	Complete(ctx context.Context, t twin.Twin) (twin.View, error)
	// Query answers a page of a query.
	Query(ctx context.Context, text string, p query.Page) (query.Result, error)
}

// getTwin answers GET /twins/{id}[/modules/{mid}]. The etag is in the body only,
// as IoT Hub has it.
func (s *Server) getTwin(c *call) (reply, error) {
	if err := c.checkID(); err != nil {
		return reply{}, err
	}
	v, err := s.Fleet.View(c.ctx(), c.id)
	return viewOf(v, c.twinFault(err))
}

// patchTwin answers PATCH: it merges into tags and desired properties.
func (s *Server) patchTwin(c *call) (reply, error) { return s.writeTwin(c, s.Twins.Update) }

// putTwin answers PUT: it takes the place of tags and desired properties.
func (s *Server) putTwin(c *call) (reply, error) { return s.writeTwin(c, s.Twins.Replace) }

// write is Update or Replace of [twin.Twins].
type write func(ctx context.Context, id hub.Identity, w twin.Write) (twin.Twin, error)

func (s *Server) writeTwin(c *call, f write) (reply, error) {
	if err := c.checkID(); err != nil {
		return reply{}, err
	}
	body, err := c.body(twin.MaxBody)
	if err != nil {
		return reply{}, err
	}
	t, err := f(c.ctx(), c.id, twin.Write{Body: body, IfMatch: c.ifMatch(), By: c.by})
	if err != nil {
		return reply{}, c.twinFault(err)
	}
	v, err := s.Fleet.Complete(c.ctx(), t)
	return viewOf(v, c.twinFault(err))
}

func viewOf(v twin.View, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	return reply{body: v.AppendJSON(nil)}, nil
}

// checkID refuses what can't be the id of a device or a module.
func (c *call) checkID() error {
	if !hub.ValidID(c.id.Device) || c.id.IsModule() && !hub.ValidID(c.id.Module) {
		return hub.Errorf(hub.ArgumentInvalid, "%.260q is not the id of a device or module: see the characters that ids have", c.id.String())
	}
	return nil
}

// twinFault makes of an error what IoT Hub says below /twins: a module that is
// not there is a device that is not there, and an etag does not match in these
// words.
func (c *call) twinFault(err error) error {
	switch hub.CodeOf(err) {
	case hub.ModuleNotFound:
		return hub.Errorf(hub.DeviceNotFound, "%w", err)
	case hub.PreconditionFailed:
		return &hub.Error{Code: hub.PreconditionFailed, Message: "ETag mismatch for device ID '" + c.id.Device + "'", Err: err}
	default:
		return err
	}
}
