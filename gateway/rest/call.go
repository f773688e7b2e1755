package rest

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// call is one request on its way to its answer.
type call struct {
	r       *http.Request
	control *http.ResponseController
	begun   time.Time
	request string // its id, 32 hexadecimal digits
	verb    string // as meant
	allow   string // the verbs of the path, when verb is not among them
	route   *route // nil until it is found
	path    []string

	id     hub.Identity      // {id} and {mid} of the path
	params map[string]string // the other ones, by name
	by     string            // who asks: "policy service", "bearer ops@example.com"
	told   bool              // whoever counts bad credentials has told of this one
	read   bool              // nothing of the body is left
	left   bool              // the client has not waited for its answer
}

// ctx ends with the connection, the node, or the time of the route.
func (c *call) ctx() context.Context { return c.r.Context() }

// query is the request's query. What is malformed in it is passed over.
func (c *call) query() url.Values { return c.r.URL.Query() }

// ifMatch is the etag of If-Match without quotes, or *. Clients send it in four
// forms: x and "x", * and "*". It is empty without the header, and for "".
func (c *call) ifMatch() string {
	etag := strings.TrimSpace(c.r.Header.Get("If-Match"))
	if len(etag) > 1 && strings.HasPrefix(etag, `"`) && strings.HasSuffix(etag, `"`) {
		etag = etag[1 : len(etag)-1]
	}
	return etag
}

// pageSize is the number of rows that the caller wants, 0 when he leaves it
// open. It fails with ArgumentInvalid.
func (c *call) pageSize() (int, error) {
	text := c.r.Header.Get("x-ms-max-item-count")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, hub.Errorf(hub.ArgumentInvalid, "the header x-ms-max-item-count is a number from 1 on")
	}
	return n, nil
}

// continuation is the token of the page that the caller wants, empty for the
// first one.
func (c *call) continuation() string { return c.r.Header.Get("x-ms-continuation") }

// versions are the API versions that are known to be sent.
//
//nolint:gochecknoglobals // a constant
var versions = [...]string{
	"2016-02-03", "2016-11-14", "2017-06-30", "2017-08-21-preview", "2017-11-08-preview", "2018-01-16", "2018-04-01", "2018-06-30",
	"2018-08-30-preview", "2019-03-30", "2019-07-01-preview", "2019-10-01", "2020-03-01", "2020-03-13", "2020-05-31-preview",
	"2020-06-30-preview", "2020-09-30", "2021-04-12", "2024-03-31", "2024-04-12", "2025-08-01-preview",
}

// checkVersion refuses a request of no version, or of one that is not known: it
// may mean something else than what is here.
func (c *call) checkVersion() error {
	version := c.query().Get("api-version")
	if version == "" {
		return hub.Errorf(hub.InvalidProtocol, "the query has no api-version: send ?api-version=2021-04-12")
	}
	for _, known := range versions {
		if strings.EqualFold(version, known) {
			return nil
		}
	}
	return hub.Errorf(hub.InvalidProtocol, "this hub does not know the api-version %q: send 2021-04-12", clip(version))
}

// clip shortens what a caller sent for a message.
func clip(s string) string {
	const shown = 64
	if len(s) > shown {
		return s[:shown] + "…"
	}
	return s
}
