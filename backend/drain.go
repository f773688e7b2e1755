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

// ServeDrain answers on hub.session.node and hub.session.drain.{node} until stop
// is called.
func (b *Backbone) ServeDrain(d Drainer) (stop func(), err error) {
	state := func() NodeState {
		n, draining := d.State()
		return NodeState{Node: b.cfg.Node, Connections: n, Draining: draining}
	}
	states, err := b.nc.Subscribe(b.names.NodeStates(), func(m *nats.Msg) { respond(m, state(), nil) })
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", b.names.NodeStates(), err)
	}
	to := b.names.NodeDrain(b.cfg.Node)
	orders, err := b.nc.Subscribe(to, func(m *nats.Msg) {
		over, err := parseDrain(m.Data)
		if err == nil {
			d.Drain(over)
		}
		respond(m, state(), err)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to %s: %w", to, err), states.Unsubscribe())
	}
	return func() { _, _ = states.Unsubscribe(), orders.Unsubscribe() }, b.nc.FlushTimeout(requestTimeout)
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
