package rest

import (
	"net/http"
	"strconv"

	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/hub"
)

// getConfiguration answers GET /configurations/{configuration}.
func (s *Server) getConfiguration(c *call) (reply, error) {
	got, err := s.Configurations.Get(c.ctx(), c.params["configuration"])
	return configured(got, err)
}

// configured answers with a configuration.
func configured(got configuration.Configuration, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	body, err := got.AppendJSON(nil)
	return withETag(body, got.ETag()), err
}

// putConfiguration answers PUT. Without If-Match, or with an empty one, it
// creates only; with * or an etag it updates only.
func (s *Server) putConfiguration(c *call) (reply, error) {
	body, err := c.object(configuration.MaxBody)
	if err != nil {
		return reply{}, err
	}
	sent, err := configuration.Parse(c.params["configuration"], body)
	if err != nil {
		return reply{}, err
	}
	got, err := s.Configurations.Put(c.ctx(), sent, c.ifMatch())
	return configured(got, err)
}

// object reads a body that is JSON, for features that have a reader of their
// own.
func (c *call) object(limit int) ([]byte, error) {
	body, err := c.body(limit)
	if err == nil {
		err = decode(body, &struct{}{})
	}
	return body, err
}

// deleteConfiguration answers DELETE. Node sends it without If-Match.
func (s *Server) deleteConfiguration(c *call) (reply, error) {
	return reply{}, s.Configurations.Delete(c.ctx(), c.params["configuration"], c.ifMatch())
}

// listConfigurations answers GET /configurations. top is how many at most; all
// of them unless it is given, for there is no second page.
func (s *Server) listConfigurations(c *call) (reply, error) {
	top := 0
	if text := c.query().Get("top"); text != "" {
		var err error
		if top, err = strconv.Atoi(text); err != nil || top < 0 {
			return reply{}, hub.Errorf(hub.ArgumentInvalid, "top is a number from 1 on")
		}
	}
	all, err := s.Configurations.List(c.ctx(), top)
	if err != nil {
		return reply{}, err
	}
	return reply{body: append([]configuration.Configuration{}, all...)}, nil
}

// testQueries answers POST /configurations/testQueries.
func (s *Server) testQueries(c *call) (reply, error) {
	var t configuration.Test
	if err := c.decode(maxBody, &t); err != nil {
		return reply{}, err
	}
	return reply{body: s.Configurations.Test(t)}, nil
}

// applyConfiguration answers POST /devices/{id}/applyConfigurationContent.
func (s *Server) applyConfiguration(c *call) (reply, error) {
	body, err := c.object(configuration.MaxBody)
	if err != nil {
		return reply{}, err
	}
	if err := s.Configurations.Apply(c.ctx(), c.id.Device, body, c.by); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusNoContent}, nil
}
