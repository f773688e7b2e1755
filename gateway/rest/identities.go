package rest

import (
	"errors"
	"strconv"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// getIdentity answers GET /devices/{id} and GET /devices/{id}/modules/{mid}.
func (s *Server) getIdentity(c *call) (reply, error) {
	r, err := s.Registry.Get(c.ctx(), c.id)
	if err != nil {
		return reply{}, s.whichIsMissing(c, err)
	}
	return s.show(c, r)
}

// putIdentity answers PUT. Without If-Match, or with an empty one, it creates
// only; with * or an etag it updates only.
func (s *Server) putIdentity(c *call) (reply, error) {
	var r identity.Record
	if err := c.decode(maxBody, &r); err != nil {
		return reply{}, err
	}
	if r.ID.Device != "" && r.ID.Device != c.id.Device || r.ID.Module != "" && r.ID.Module != c.id.Module {
		return reply{}, hub.Errorf(hub.ArgumentInvalid, "the path names %s and the body %s", c.id, clip(r.ID.String()))
	}
	r.ID = c.id
	put := s.Registry.Create
	if ifMatch := c.ifMatch(); ifMatch != "" {
		put = s.updateIf(ifMatch)
	}
	r, err := put(c.ctx(), r)
	if err != nil {
		return reply{}, s.whichIsMissing(c, err)
	}
	return s.show(c, r)
}

// deleteIdentity answers DELETE, which needs If-Match.
func (s *Server) deleteIdentity(c *call) (reply, error) {
	err := s.Registry.Delete(c.ctx(), c.id, c.ifMatch())
	return reply{}, s.whichIsMissing(c, err)
}

// whichIsMissing tells a module that is not there from its device.
func (s *Server) whichIsMissing(c *call, err error) error {
	if !errors.Is(err, &hub.Error{Code: hub.ModuleNotFound}) {
		return err
	}
	device := hub.Identity{Device: c.id.Device}
	if _, gone := s.Registry.Get(c.ctx(), device); errors.Is(gone, &hub.Error{Code: hub.DeviceNotFound}) {
		return gone
	}
	return err
}

// show answers with an identity. IoT Hub has the etag of a module in the body
// alone.
func (s *Server) show(c *call, r identity.Record) (reply, error) {
	v := identity.View{Record: r}
	if s.Presence != nil {
		var err error
		if v.Activity, err = s.Presence.Activity(c.ctx(), r.ID); err != nil {
			return reply{}, err
		}
	}
	if r.ID.IsModule() {
		return reply{body: v}, nil
	}
	return withETag(v, r.ETag), nil
}

// listDevices answers GET /devices.
func (s *Server) listDevices(c *call) (reply, error) {
	limit := 0
	if text := c.query().Get("top"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil {
			return reply{}, hub.Errorf(hub.ArgumentInvalid, "top is a number from 1 to %d", identity.MaxList)
		}
	}
	return s.list(c, identity.Query{Limit: limit})
}

// listModules answers GET /devices/{id}/modules.
func (s *Server) listModules(c *call) (reply, error) {
	return s.list(c, identity.Query{Device: c.id.Device})
}

func (s *Server) list(c *call, q identity.Query) (reply, error) {
	records, err := s.Registry.List(c.ctx(), q)
	if err != nil {
		return reply{}, err
	}
	views, ids := make([]identity.View, len(records)), make([]hub.Identity, len(records))
	for i, r := range records {
		views[i].Record, ids[i] = r, r.ID
	}
	if s.Presence != nil {
		all, err := s.Presence.Activities(c.ctx(), ids)
		if err != nil {
			return reply{}, err
		}
		for i := range views {
			views[i].Activity = all[i]
		}
	}
	return reply{body: views}, nil
}
