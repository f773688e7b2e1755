package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/query"
)

// QueryPage is a page of the rows of a query.
type QueryPage struct {
	Items []json.RawMessage `json:"items"`
	// Continuation goes into the request of the next page; it is empty on the
	// last one.
	Continuation string `json:"continuation"`
	// Type is what the rows are: whole twins, or what the query selects of them.
	Type query.Kind `json:"itemType"`
}

// QueryPage returns a page of a query's rows, of at most size rows; 0: 100. A
// page is shorter when more would not fit in one message, and empty pages that
// are not the last one are possible. Its errors are the hub's: ArgumentInvalid
// names the line and the column of what is wrong with the text.
func (c *Client) QueryPage(ctx context.Context, text string, size int, continuation string) (QueryPage, error) {
	var page QueryPage
	err := c.request(ctx, call{subject: c.names.Query(), body: queryRequest{Query: text, PageSize: size, Continuation: continuation}}, &page)
	return page, err
}

// queryRequest is the body of a request.
type queryRequest struct {
	Query        string `json:"query"`
	PageSize     int    `json:"pageSize,omitempty"`
	Continuation string `json:"continuation,omitempty"`
	Explain      bool   `json:"explain,omitempty"`
}

// Query goes through all rows of a query, page by page. An error ends it. Rows
// of identities that come and go meanwhile may be there or not; nothing is
// there twice.
func (c *Client) Query(ctx context.Context, text string) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		for page, err := range c.QueryPages(ctx, text, query.MaxPage) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, row := range page.Items {
				if !yield(row, nil) {
					return
				}
			}
		}
	}
}

// QueryPages goes through all pages of a query. An error ends it.
func (c *Client) QueryPages(ctx context.Context, text string, size int) iter.Seq2[QueryPage, error] {
	return func(yield func(QueryPage, error) bool) {
		for next := ""; ; {
			page, err := c.QueryPage(ctx, text, size, next)
			if !yield(page, err) || err != nil || page.Continuation == "" {
				return
			}
			next = page.Continuation
		}
	}
}

// ExplainQuery says what would serve a query, without running it.
func (c *Client) ExplainQuery(ctx context.Context, text string) (query.Plan, error) {
	var answer struct {
		Plan query.Plan `json:"plan"`
	}
	err := c.request(ctx, call{subject: c.names.Query(), body: queryRequest{Query: text, Explain: true}}, &answer)
	return answer.Plan, err
}

// QueryEvent is what a watch of a query tells.
type QueryEvent struct {
	Kind query.EventKind `json:"event"`
	// Key is the identity, as device or device/module; of a job another name.
	Key string `json:"key"`
	// Row is as the query has it; Removed and Loaded have none.
	Row json.RawMessage `json:"row"`

	Seq uint64 `json:"seq"`
}

// watchSilence is after how long without a message the node that tells is taken
// for dead: it tells every five seconds that it is there.
const watchSilence = 20 * time.Second

// watchEventAlive is the message of a node that has nothing new to tell.
const watchEventAlive query.EventKind = "alive"

// WatchQuery calls told for each row of the query (Added), then once for
// Loaded, and then for what is added, changed and removed, until ctx ends or
// told fails; [ErrStop] ends it without an error. Whoever is slow hears of a row
// that changes often only now and then. ServiceUnavailable says that the node
// that tells is gone, or that told was too slow for it: begin again.
func (c *Client) WatchQuery(ctx context.Context, text string, told func(QueryEvent) error) error {
	sub, err := c.nc.SubscribeSync(c.nc.NewInbox())
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "subscribe to the answers of %s: %w", c.names.QueryWatch(), err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	body, err := json.Marshal(struct {
		Query       string `json:"query"`
		Acknowledge bool   `json:"acknowledge"`
	}{text, true})
	if err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "write the query as JSON: %w", err)
	}
	ctx, done := c.denied.watch(ctx, c.names.QueryWatch())
	defer done()
	if err := c.nc.PublishRequest(c.names.QueryWatch(), sub.Subject, body); err != nil {
		return unanswered(c.names.QueryWatch(), err)
	}
	for seq := uint64(0); ; {
		e, err := c.nextQueryEvent(ctx, sub)
		if err != nil {
			return err
		}
		if e.Kind != watchEventAlive {
			seq++
		}
		if e.Kind == watchEventAlive && e.Seq <= seq {
			continue
		}
		if e.Seq != seq {
			return hub.Errorf(hub.ServiceUnavailable, "changes are missing from the watch; begin it again")
		}
		if err := told(e); err != nil {
			if errors.Is(err, ErrStop) {
				return nil
			}
			return err
		}
	}
}

// nextQueryEvent waits for an event. What comes with a reply subject is
// acknowledged: all before it have been told.
func (c *Client) nextQueryEvent(ctx context.Context, sub *nats.Subscription) (QueryEvent, error) {
	silent, cancel := context.WithTimeout(ctx, watchSilence)
	defer cancel()
	m, err := sub.NextMsgWithContext(silent)
	switch denied := context.Cause(ctx); {
	case hub.CodeOf(denied) == hub.Unauthorized:
		return QueryEvent{}, denied
	case ctx.Err() != nil:
		return QueryEvent{}, ctx.Err()
	case errors.Is(err, nats.ErrNoResponders):
		return QueryEvent{}, unanswered(c.names.QueryWatch(), err)
	case err != nil:
		return QueryEvent{}, hub.Errorf(hub.ServiceUnavailable, "the node that watches the query is not heard of any more; begin the watch again: %w", err)
	}
	if err := refusal(m); err != nil {
		return QueryEvent{}, err
	}
	if m.Reply != "" {
		if err := m.Respond(nil); err != nil {
			return QueryEvent{}, hub.Errorf(hub.ServiceUnavailable, "acknowledge what was told: %w", err)
		}
	}
	var e QueryEvent
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return QueryEvent{}, hub.Errorf(hub.ServerError, "what the hub tells is not what was expected: %w", err)
	}
	return e, nil
}
