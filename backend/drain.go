package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/hub"
)

// Drainer is a node's front end.
type Drainer interface {
	// Drain begins to close all connections, over a time, and returns at once.
	// It may be called again.
	Drain(over time.Duration)
	// State tells how many connections there are.
	State() (connections int, draining bool)
}

// NodeState is how a node is. Its JSON is the answer on hub.session.node and
// hub.session.drain.{node}.
type NodeState struct {
	Node        string `json:"node"`
	Connections int    `json:"connections"`
	Draining    bool   `json:"draining"`
}

// drainOrder is the request on hub.session.drain.{node}.
type drainOrder struct {
	Over string `json:"over"` // a Go duration
}

// drainQueue is how many requests may wait for an answer.
const drainQueue = 64

// ServeDrain answers on hub.session.node and hub.session.drain.{node} until stop
// is called.
func (b *Backbone) ServeDrain(d Drainer) (stop func(), err error) {
	requests, quit := make(chan *nats.Msg, drainQueue), make(chan struct{})
	var subs []*nats.Subscription
	stop = func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe()
		}
		close(quit)
	}
	for _, to := range []string{b.names.NodeStates(), b.names.NodeDrain(b.cfg.Node)} {
		sub, err := b.nc.ChanSubscribe(to, requests)
		if err != nil {
			stop()
			return nil, fmt.Errorf("subscribe to %s: %w", to, err)
		}
		subs = append(subs, sub)
	}
	go func() {
		for {
			select {
			case m := <-requests:
				b.answerDrain(d, m)
			case <-quit:
				return
			}
		}
	}()
	return stop, b.nc.FlushTimeout(requestTimeout)
}

func (b *Backbone) answerDrain(d Drainer, m *nats.Msg) {
	if !isAsked(m.Reply) {
		notObeyed(b.cfg.Log, m.Subject, m.Reply)
		return
	}
	var err error
	if m.Subject != b.names.NodeStates() {
		var over time.Duration
		if over, err = parseDrain(m.Data); err == nil {
			d.Drain(over)
		}
	}
	n, draining := d.State()
	respond(m, NodeState{Node: b.cfg.Node, Connections: n, Draining: draining}, err)
}

func parseDrain(data []byte) (time.Duration, error) {
	var o drainOrder
	if err := json.Unmarshal(data, &o); err != nil {
		return 0, hub.Errorf(hub.ArgumentInvalid, "the request is not an object such as {\"over\":\"30s\"}: %w", err)
	}
	over, err := time.ParseDuration(o.Over)
	if err != nil || over < 0 || over > time.Hour {
		return 0, hub.Errorf(hub.ArgumentInvalid, "over is %.32q: give a duration from 0s to 1h", o.Over)
	}
	return over, nil
}

// respond answers with v, or with err.
func respond(m *nats.Msg, v any, err error) {
	reply := nats.NewMsg(m.Reply)
	if err != nil {
		code := hub.CodeOf(err)
		reply.Header.Set(micro.ErrorCodeHeader, strconv.Itoa(int(code)))
		reply.Header.Set(micro.ErrorHeader, code.Hint())
		if e, ok := errors.AsType[*hub.Error](err); ok {
			reply.Header.Set(micro.ErrorHeader, strings.Join(strings.Fields(e.Message), " "))
		}
	} else if reply.Data, err = json.Marshal(v); err != nil {
		return
	}
	_ = m.RespondMsg(reply) // who asked has gone, or NATS has
}
