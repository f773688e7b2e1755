package rest

import (
	"net/http"
	"strings"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/query"
)

// maxQueryBody is for a query of the greatest length, each character of which
// may be escaped.
const maxQueryBody = 16 * query.MaxText

// runQuery answers POST /devices/query: an array, and in the headers what its
// elements are and how to go on. There is no header for going on behind the
// last page: an empty one would have Node's SDK read for ever.
func (s *Server) runQuery(c *call) (reply, error) {
	var q struct {
		Query string `json:"query"`
	}
	if err := c.decode(maxQueryBody, &q); err != nil {
		return reply{}, err
	}
	if strings.TrimSpace(q.Query) == "" {
		return reply{}, hub.Errorf(hub.ArgumentNull, `there is no query: send {"query":"SELECT * FROM devices"}`)
	}
	size, err := c.pageSize()
	if err != nil {
		return reply{}, err
	}
	r, err := s.Fleet.Query(c.ctx(), q.Query, query.Page{Size: size, Token: c.continuation()})
	if err != nil {
		return reply{}, err
	}
	return pageOf(r), nil
}

// pageOf is a page of rows as the service API has it.
func pageOf(r query.Result) reply {
	out := reply{headers: http.Header{"X-Ms-Item-Type": {string(r.Kind)}}}
	if r.Next != "" {
		out.headers.Set("X-Ms-Continuation", r.Next)
	}
	n := len("[]")
	for _, row := range r.Rows {
		n += len(row) + 1
	}
	body := append(make([]byte, 0, n), '[')
	for i, row := range r.Rows {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, row...)
	}
	out.body = append(body, ']')
	return out
}
