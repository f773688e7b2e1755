package rest

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hubgate/hubgate/digitaltwin"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/twin"
)

// getDigitalTwin answers GET /digitaltwins/{id}. Its etag is that of the twin.
func (s *Server) getDigitalTwin(c *call) (reply, error) {
	if err := c.checkID(); err != nil {
		return reply{}, err
	}
	v, err := s.Fleet.View(c.ctx(), c.id)
	if err != nil {
		return reply{}, err
	}
	doc, err := digitaltwin.Document(v.AppendJSON(nil))
	if err != nil {
		return reply{}, err
	}
	return withETag(doc, v.ETag), nil
}

// patchDigitalTwin answers PATCH. What the patch does depends on what is there,
// so that it is made into an update where the twin is written.
func (s *Server) patchDigitalTwin(c *call) (reply, error) {
	if err := c.checkID(); err != nil {
		return reply{}, err
	}
	body, err := c.body(twin.MaxBody)
	if err != nil {
		return reply{}, err
	}
	w := twin.Write{IfMatch: c.ifMatch(), By: c.by}
	t, err := s.Twins.UpdateFrom(c.ctx(), c.id, w, func(t twin.Twin) ([]byte, error) {
		return digitaltwin.Patch(t.AppendJSON(nil), body)
	})
	if err != nil {
		return reply{}, c.twinFault(err)
	}
	return accepted(t), nil
}

// accepted is the answer to a patch. It is 202: the clients that are made from
// the API's description fail on anything else.
func accepted(t twin.Twin) reply {
	return reply{status: http.StatusAccepted, headers: http.Header{
		"Etag": {`"` + t.ETag + `"`}, "Location": {"/digitaltwins/" + url.PathEscape(t.ID.Device)},
	}}
}

// invokeCommand answers POST /digitaltwins/{id}[/components/{component}]/commands/{command}:
// a direct method whose status comes in a header.
func (s *Server) invokeCommand(c *call) (reply, error) {
	if err := c.checkID(); err != nil {
		return reply{}, err
	}
	method, err := digitaltwin.Command(c.params["component"], c.params["command"])
	if err != nil {
		return reply{}, err
	}
	m := methods.Call{Method: method}
	if m.ResponseTimeout, err = c.seconds("responseTimeoutInSeconds"); err != nil {
		return reply{}, err
	}
	if m.ConnectTimeout, err = c.seconds("connectTimeoutInSeconds"); err != nil {
		return reply{}, err
	}
	if m.Payload, err = c.body(maxBody); err != nil {
		return reply{}, err
	}
	a, err := s.invoke(c, m)
	if err != nil {
		return reply{}, err
	}
	return reply{body: a.Payload, headers: http.Header{"X-Ms-Command-Statuscode": {strconv.Itoa(a.Status)}}}, nil
}

// seconds reads a number of seconds from the query, where it may be missing.
func (c *call) seconds(name string) (time.Duration, error) {
	text := c.query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, hub.Errorf(hub.ArgumentInvalid, "%s is %q: it must be a number of seconds", name, clip(text))
	}
	return seconds(name, &n)
}
