package backend

import (
	"encoding/json"
	"math"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/internal/plainjson"
	"github.com/hubgate/hubgate/session"
)

// stored is the value of a key. A claim has no epoch in it: its revision is
// the epoch.
type stored struct {
	session.Session
	Epoch uint64 `json:"epoch,omitempty"`
}

// parse reads a value.
func (v *stored) parse(value []byte) error {
	plain, ok := plainStored(value)
	if ok {
		*v = plain
		return nil
	}
	var odd stored // and not v, which then need not be on the heap
	err := json.Unmarshal(value, &odd)
	*v = odd
	return err
}

// append appends the value.
func (v *stored) append(dst []byte) ([]byte, error) {
	if plain, ok := v.appendPlain(dst); ok {
		return plain, nil
	}
	odd, err := json.Marshal(*v)
	return append(dst, odd...), err
}

func plainStored(value []byte) (v stored, ok bool) {
	r := plainjson.Read(value)
	v.Generation = r.Text("generation")
	v.Persistent = r.Bool("persistent")
	if r.List("subscriptions") {
		for r.More() {
			r.Element()
			v.Subscriptions = append(v.Subscriptions, session.Subscription{Filter: r.Text("filter"), QoS: byte(r.Uint("qos", math.MaxUint8))})
			r.End()
		}
	}
	v.Connected = r.Bool("connected")
	v.Node = r.Text("node")
	v.Instance = r.Text("instance")
	v.Connection = r.Text("connection")
	v.Remote = r.Text("remote")
	v.ClientAgent = r.Text("clientAgent")
	v.ModelID = r.Text("modelId")
	v.ConnectedTime = r.Time("connectedTime")
	v.DisconnectedTime = r.Time("disconnectedTime")
	v.Reason = r.Text("reason")
	v.Code = hub.Code(r.Uint("errorCode", math.MaxInt32))
	v.WillID = r.Text("will")
	if r.List("owed") {
		for r.More() {
			v.Owed = append(v.Owed, r.ElementText())
		}
	}
	if r.List("ends") {
		for r.More() {
			r.Element()
			v.Ends = append(v.Ends, plainPast(&r))
			r.End()
		}
	}
	v.RepairedBy = r.Text("repairedBy")
	v.Epoch = r.Uint("epoch", math.MaxUint64)
	return v, r.Done()
}

func plainPast(r *plainjson.Reader) session.Past {
	return session.Past{
		Epoch:            r.Uint("epoch", math.MaxUint64),
		Node:             r.Text("node"),
		Connection:       r.Text("connection"),
		Remote:           r.Text("remote"),
		ClientAgent:      r.Text("clientAgent"),
		ConnectedTime:    r.Time("connectedTime"),
		DisconnectedTime: r.Time("disconnectedTime"),
		Reason:           r.Text("reason"),
		Code:             hub.Code(r.Uint("errorCode", math.MaxInt32)),
	}
}

func (v *stored) appendPlain(dst []byte) ([]byte, bool) {
	w := plainjson.Write(dst)
	w.Text("generation", v.Generation)
	w.Bool("persistent", v.Persistent)
	if len(v.Subscriptions) > 0 {
		w.List("subscriptions")
		for _, s := range v.Subscriptions {
			w.Element()
			w.Text("filter", s.Filter)
			w.Uint("qos", uint64(s.QoS))
			w.End()
		}
		w.EndList()
	}
	w.Bool("connected", v.Connected)
	w.Text("node", v.Node)
	w.TextIfAny("instance", v.Instance)
	w.Text("connection", v.Connection)
	w.Text("remote", v.Remote)
	w.TextIfAny("clientAgent", v.ClientAgent)
	w.TextIfAny("modelId", v.ModelID)
	w.TimeIfAny("connectedTime", v.ConnectedTime)
	w.TimeIfAny("disconnectedTime", v.DisconnectedTime)
	w.TextIfAny("reason", v.Reason)
	w.IntIfAny("errorCode", int64(v.Code))
	w.TextIfAny("will", v.WillID)
	if len(v.Owed) > 0 {
		w.List("owed")
		for _, will := range v.Owed {
			w.ElementText(will)
		}
		w.EndList()
	}
	if len(v.Ends) > 0 {
		w.List("ends")
		for i := range v.Ends {
			w.Element()
			writePast(&w, &v.Ends[i])
			w.End()
		}
		w.EndList()
	}
	w.TextIfAny("repairedBy", v.RepairedBy)
	if v.Epoch != 0 {
		w.Uint("epoch", v.Epoch)
	}
	return w.Done()
}

func writePast(w *plainjson.Writer, p *session.Past) {
	w.Uint("epoch", p.Epoch)
	w.Text("node", p.Node)
	w.Text("connection", p.Connection)
	w.Text("remote", p.Remote)
	w.TextIfAny("clientAgent", p.ClientAgent)
	w.TimeIfAny("connectedTime", p.ConnectedTime)
	w.TimeIfAny("disconnectedTime", p.DisconnectedTime)
	w.TextIfAny("reason", p.Reason)
	w.IntIfAny("errorCode", int64(p.Code))
}
