package backend

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/query"
)

// QueryService answers back-end apps who ask for devices, modules and jobs by a
// query over NATS, and tells them of changes.
type QueryService struct {
	responder

	fleet    *Fleet
	nc       *nats.Conn
	maxReply int           // bytes of an answer
	turns    chan struct{} // has room for the queries that run at a time
	running  sync.WaitGroup
	micro    micro.Service

	beat, patience time.Duration // see the constants of watches
	mu             sync.Mutex
	watching       map[*watch]struct{}
	stopped        bool
	over           chan struct{} // closed by Stop
}

// envelope is what an answer needs besides its rows, with the longest
// continuation and headers.
const envelope = 8 << 10

// ServeQueries registers the NATS service hub-query, until Stop or until the
// backbone is closed. Several nodes share the requests.
func (b *Backbone) ServeQueries() (*QueryService, error) {
	s := &QueryService{
		responder: b.responder("query"), fleet: b.fleet, nc: b.nc,
		maxReply: int(b.nc.MaxPayload()) - envelope, turns: make(chan struct{}, max(runtime.GOMAXPROCS(0), 2)),
		beat: watchBeat, patience: watchPatience, watching: map[*watch]struct{}{}, over: make(chan struct{}),
	}
	var err error
	s.micro, err = b.service(micro.Config{
		Name: b.names.QueryName(), Description: "queries of devices, modules and jobs", StatsHandler: func(*micro.Endpoint) any { return s.fleet.Stats() },
	}, s.endpoints(), s.handle)
	if err != nil {
		return nil, err
	}
	go s.cutAtInterruptions()
	return s, nil
}

// Stop takes no more requests, and ends all watches.
func (s *QueryService) Stop() error {
	err := s.micro.Stop()
	s.mu.Lock()
	if !s.stopped {
		close(s.over)
	}
	s.stopped = true
	s.mu.Unlock()
	s.cutAll(hub.Errorf(hub.ServiceUnavailable, "this node of the hub stops; begin the watch again"))
	s.running.Wait()
	return err
}

const (
	querySchema = `{"type":"object","required":["query"],"properties":{"query":{"type":"string"},"pageSize":{"type":"integer","description":"1 to 1000; 100 unless given"},"continuation":{"type":"string","description":"of the page before"},"explain":{"type":"boolean","description":"only say what would serve the query"}},"additionalProperties":false}`
	planSchema  = `{"type":"object","required":["source","access","documents","total"],"properties":{"source":{"type":"string"},"access":{"enum":["key","range","index","scan"]},"detail":{"type":"string"},"missing":{"type":"string"},"documents":{"type":"integer"},"total":{"type":"integer"}}}`
	rowsSchema  = `{"type":"object","required":["items","itemType"],"properties":{"items":{"type":"array","items":{"type":"object"}},"continuation":{"type":"string","description":"for the request of the next page; missing at the end"},"itemType":{"enum":["Twin","Raw","DeviceJob"]},"plan":` + planSchema + `}}`
	watchSchema = `{"type":"object","required":["query"],"properties":{"query":{"type":"string"},"acknowledge":{"type":"boolean","description":"the asker answers the messages that have a reply subject"}},"additionalProperties":false}`
	eventSchema = `{"type":"object","required":["event","seq"],"properties":{"event":{"enum":["added","changed","removed","loaded","alive"]},"seq":{"type":"integer"},"key":{"type":"string"},"row":{"type":"object"}}}`
)

func (s *QueryService) endpoints() []endpoint {
	return []endpoint{
		{"query", s.names.Query(), "", querySchema, rowsSchema, s.query},
		{"watch", s.names.QueryWatch(), "", watchSchema, eventSchema, nil},
	}
}

// handle answers each request in a goroutine of its own: NATS brings the next
// one when the handler returns, and a query may look at everything.
func (s *QueryService) handle(e endpoint) micro.HandlerFunc {
	if e.handle == nil {
		return s.watch
	}
	answer := s.handler(e)
	return func(m micro.Request) {
		s.turns <- struct{}{}
		done := func() { <-s.turns }
		if err := s.enlist(); err != nil {
			defer done()
			s.turnAway(m, err)
			return
		}
		go func() {
			defer s.running.Done()
			defer done()
			answer(lateRequest{m, s.nc})
		}()
	}
}

// enlist counts one more in running. After Stop there is none: NATS may still bring
// what came before.
func (s *QueryService) enlist() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add()
}

// add is enlist with s.mu held.
func (s *QueryService) add() error {
	if s.stopped {
		return hub.Errorf(hub.ServiceUnavailable, "this node of the hub stops; ask again")
	}
	s.running.Add(1)
	return nil
}

func (s *QueryService) turnAway(m micro.Request, err error) {
	if err := s.refuse(m, err); err != nil {
		s.log.Warn().Err(err).Str("subject", m.Subject()).Msg("a request could not be answered")
	}
}

// query answers hub.query.
func (s *QueryService) query(ctx context.Context, r request) (any, error) {
	var q struct {
		Query        string `json:"query"`
		PageSize     int    `json:"pageSize"`
		Continuation string `json:"continuation"`
		Explain      bool   `json:"explain"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	if q.PageSize < 0 || q.PageSize > query.MaxPage {
		return nil, hub.Errorf(hub.ArgumentInvalid, "pageSize is %d: give 1 to %d", q.PageSize, query.MaxPage)
	}
	if q.Explain {
		return s.explain(ctx, q.Query)
	}
	result, err := s.page(ctx, q.Query, query.Page{Size: q.PageSize, Token: q.Continuation})
	if err != nil {
		return nil, err
	}
	text := append([]byte(nil), `{"items":[`...)
	for i, row := range result.Rows { // which are JSON already
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, row...)
	}
	text = append(text, `],"itemType":"`+string(result.Kind)+`"`...)
	if result.Next != "" {
		text = append(text, `,"continuation":"`+result.Next+`"`...)
	}
	return raw(append(text, '}')), nil
}

func (s *QueryService) explain(ctx context.Context, text string) (any, error) {
	q, err := query.Parse(text)
	if err != nil {
		return nil, err
	}
	plan, err := s.fleet.Explain(ctx, text)
	return struct {
		Items    []struct{} `json:"items"` // none: the query is not run
		ItemType query.Kind `json:"itemType"`
		Plan     query.Plan `json:"plan"`
	}{[]struct{}{}, q.Kind(), plan}, err
}

// page answers a page that fits in one message: a shorter one, when the one that
// was asked for does not.
func (s *QueryService) page(ctx context.Context, text string, p query.Page) (query.Result, error) {
	for {
		result, err := s.fleet.Query(ctx, text, p)
		if err != nil {
			return result, err
		}
		fit, room := 0, s.maxReply
		for ; fit < len(result.Rows); fit++ {
			if room -= len(result.Rows[fit]) + 1; room < 0 {
				break
			}
		}
		switch {
		case fit == len(result.Rows):
			return result, nil
		case fit == 0:
			return result, tooLong(len(result.Rows[0]), s.maxReply)
		}
		p.Size = fit
	}
}

func tooLong(row, limit int) error {
	return hub.Errorf(hub.MessageTooLarge, "a row has %d bytes, and a message of NATS has room for %d: select fewer attributes in place of *, or raise max_payload", row, limit)
}
