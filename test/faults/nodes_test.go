package faults

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
)

// hubNodes are nodes of one hub, by name, on one NATS server.
type hubNodes struct {
	nats   *natsServer
	nodes  map[string]*hubtest.Gateway
	places map[string]place
}

// soon has a node that is silent taken for dead.
const soon = "nats.node_timeout=2s"

func startNodes(t *testing.T, names ...string) *hubNodes {
	t.Helper()
	h := &hubNodes{nats: startNATS(t), nodes: map[string]*hubtest.Gateway{}, places: map[string]place{}}
	here := newPlace(t)
	for i, name := range names {
		if i > 0 {
			here = here.another(t)
		}
		h.places[name] = here
		h.nodes[name] = startNode(t, h.nats, here, "--node", name, "--set", soon)
	}
	return h
}

// at is the device as it connects to a node.
func (h *hubNodes) at(d *device, node string) *device {
	there := *d
	there.addr = net.JoinHostPort(h.places[node].listen, strconv.Itoa(mqttPort))
	return &there
}

// state is what the hub knows of a node.
func state(t *testing.T, g *hubtest.Gateway, node string) (state string, earlier int) {
	t.Helper()
	kv, err := g.JS.KeyValue(t.Context(), "hub_nodes")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(t.Context(), node)
	if err != nil {
		return "", 0
	}
	var r struct {
		State   string   `json:"state"`
		Earlier []string `json:"earlier"`
	}
	if err := json.Unmarshal(e.Value(), &r); err != nil {
		t.Fatal(err)
	}
	return r.State, len(r.Earlier)
}

// isState waits until a node is in a state, with nothing left to repair.
func isState(t *testing.T, g *hubtest.Gateway, node, want string) {
	t.Helper()
	waitFor(t, "node "+node+" to be "+want, func() bool {
		got, earlier := state(t, g, node)
		return got == want && earlier == 0
	})
}

// willing has a device leave a will.
func willing(body string) func(*mqtt.Connect) {
	return func(c *mqtt.Connect) {
		c.CleanStart = false
		c.Will = &mqtt.Will{Topic: []byte("devices/" + string(c.ClientID) + "/messages/events/k=v"), Payload: []byte(body), QoS: 1}
	}
}

// willsOf returns the bodies of the wills in the stream.
func willsOf(t *testing.T, g *hubtest.Gateway, id string) []string {
	t.Helper()
	var all []string
	g.Each(t, "HUB_TELEMETRY", "hub.telemetry."+hubtest.Key(id), func(m jetstream.Msg) {
		if m.Headers().Get("iothub-app-iothub-MessageType") == "Will" {
			all = append(all, string(m.Data()))
		}
	})
	return all
}

// lives returns, of each connection that events tell of, how often it began and
// ended: "1/1" for one that is over, with the code of the end.
func livesOf(t *testing.T, g *hubtest.Gateway, id string) map[string]string {
	t.Helper()
	begins, ends, codes := map[string]int{}, map[string]int{}, map[string]int{}
	g.Each(t, "HUB_EVENTS", "hub.events.connection."+hubtest.Key(id), func(m jetstream.Msg) {
		e, err := hubtest.ParseEvent(m)
		if err != nil {
			t.Fatal(err)
		}
		if e.Connected() {
			begins[e.Connection]++
			return
		}
		ends[e.Connection]++
		codes[e.Connection] = e.Code
	})
	all := map[string]string{}
	for c := range begins {
		all[c] = fmt.Sprintf("%d/%d %d", begins[c], ends[c], codes[c])
	}
	for c := range ends {
		if begins[c] == 0 {
			all[c] = fmt.Sprintf("0/%d", ends[c])
		}
	}
	return all
}

// connectionOf is the name of the connection that a device has now.
func connectionOf(t *testing.T, g *hubtest.Gateway, id, node string) string {
	t.Helper()
	return g.AwaitSession(t, id, "connection", func(s hubtest.Session) bool { return s.Connected && s.Node == node }).Connection
}

// clusterStatus is what the command prints, and its exit code.
func clusterStatus(t *testing.T, g *hubtest.Gateway) (code int, states map[string]string, findings string) {
	t.Helper()
	r := g.Command(t, "cluster", "status", "-o", "json")
	var all struct {
		Healthy  bool     `json:"healthy"`
		Findings []string `json:"findings"`
		Nodes    []struct {
			Name        string `json:"name"`
			State       string `json:"state"`
			Connections int    `json:"connections"`
		} `json:"nodes"`
		Streams []struct {
			Name string `json:"name"`
		} `json:"streams"`
	}
	if err := json.Unmarshal([]byte(r.Stdout), &all); err != nil || all.Healthy != (r.Code == 0) || len(all.Streams) < 15 {
		t.Fatalf("cluster status: %d %v\n%s%s", r.Code, err, r.Stdout, r.Stderr)
	}
	states = map[string]string{}
	for _, n := range all.Nodes {
		states[n.Name] = fmt.Sprintf("%s %d", n.State, n.Connections)
	}
	return r.Code, states, strings.Join(all.Findings, "; ")
}

// TestNodeIsKilled ends a node by SIGKILL. Its devices are told as disconnected,
// once, and their wills are sent, once, whether they stay away, come to the other
// node before that is noticed, or had moved there before.
func TestNodeIsKilled(t *testing.T) {
	h := startNodes(t, "a", "b")
	a, b := h.nodes["a"], h.nodes["b"]
	away, back, moved := newDevice(t, a, "away"), newDevice(t, a, "back"), newDevice(t, a, "moved")
	conns := map[string]string{}
	for _, d := range []*device{away, back, moved} {
		c := h.at(d.with(willing("will of "+d.id.Device)), "a").mustConnect(t)
		if _, err := c.subscribe(methodCalls); err != nil {
			t.Fatal(err)
		}
		conns[d.id.Device] = connectionOf(t, b, d.id.Device, "a")
	}
	moved1 := h.at(moved.with(persistent), "b").mustConnect(t)
	stays := connectionOf(t, b, "moved", "b")
	code, states, findings := clusterStatus(t, b)
	if want := map[string]string{"a": "up 2", "b": "up 1"}; code != 0 || fmt.Sprint(states) != fmt.Sprint(want) || findings != "" {
		t.Errorf("cluster status before: %d %v %s", code, states, findings)
	}
	a.Stop(t, syscall.SIGKILL)
	back1, present, err := h.at(back.with(willing("next will")), "b").connect()
	if err != nil || !present {
		t.Fatalf("the other node: session present %v, %v", present, err)
	}
	defer back1.close()
	comes := connectionOf(t, b, "back", "b")
	isState(t, b, "a", "repaired")

	s := b.AwaitSession(t, "away", "end", func(s hubtest.Session) bool { return !s.Connected })
	if s.RepairedBy != "b" || s.Code != int(hub.ServiceUnavailable) || !s.Has(methodCalls) {
		t.Errorf("session of who is away: %+v", s)
	}
	check := func(when string) {
		t.Helper()
		for id, want := range map[string]map[string]string{
			"away":  {conns["away"]: "1/1 503001"},
			"back":  {conns["back"]: "1/1 400027", comes: "1/0 0"},
			"moved": {conns["moved"]: "1/1 400027", stays: "1/0 0"},
		} {
			waitFor(t, "the events of "+id+" "+when, func() bool { return fmt.Sprint(livesOf(t, b, id)) == fmt.Sprint(want) })
			waitFor(t, "the will of "+id+" "+when, func() bool { return fmt.Sprint(willsOf(t, b, id)) == "[will of "+id+"]" })
		}
	}
	check("after the death")
	code, states, findings = clusterStatus(t, b)
	if want := map[string]string{"a": "repaired 0", "b": "up 2"}; code != 1 || fmt.Sprint(states) != fmt.Sprint(want) || !strings.Contains(findings, "node a") {
		t.Errorf("cluster status of a dead node: %d %v %s", code, states, findings)
	}
	for _, c := range []*client{moved1, back1} {
		if err := c.send(&mqtt.Pingreq{}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.receive(); err != nil {
			t.Errorf("a connection of the other node: %v", err)
		}
	}
	a.Start(t)
	isState(t, b, "a", "up")
	check("after the restart")
	if code, states, findings = clusterStatus(t, b); code != 0 {
		t.Errorf("cluster status in the end: %d %v %s", code, states, findings)
	}
	r := b.Command(t, "cluster", "status")
	if r.Code != 0 || !strings.Contains(r.Stdout, "HUB_TELEMETRY") || !strings.Contains(r.Stdout, "healthy") {
		t.Errorf("cluster status prints\n%s%s", r.Stdout, r.Stderr)
	}
	t.Log("\n" + r.Stdout)
}

// TestNodeIsPaused stops a node until the other takes it for dead. When it goes
// on, its devices are cut, come back, and nothing is told or sent twice.
func TestNodeIsPaused(t *testing.T) {
	h := startNodes(t, "a", "b")
	a, b := h.nodes["a"], h.nodes["b"]
	const devices = 5
	var all []*device
	var conns []*client
	first := map[string]string{}
	for i := range devices {
		d := newDevice(t, a, fmt.Sprintf("dev-%d", i))
		all, conns = append(all, h.at(d.with(willing("bye")), "a")), append(conns, h.at(d.with(willing("bye")), "a").mustConnect(t))
		first[d.id.Device] = connectionOf(t, b, d.id.Device, "a")
	}
	moved, _, err := h.at(all[0].with(persistent), "b").connect()
	if err != nil {
		t.Fatal(err)
	}
	defer moved.close()
	a.Pause(t)
	isState(t, b, "a", "repaired")
	for _, d := range all[1:] {
		b.AwaitSession(t, d.id.Device, "end", func(s hubtest.Session) bool { return !s.Connected && s.RepairedBy == "b" })
	}
	a.Signal(t, syscall.SIGCONT)
	for _, c := range conns {
		c.closed(t)
	}
	isState(t, b, "a", "up")
	for _, d := range all[1:] {
		c, present, err := d.with(persistent).connect()
		if err != nil || !present {
			t.Fatalf("%s comes back: session present %v, %v", d.id, present, err)
		}
		defer c.close()
		now := connectionOf(t, b, d.id.Device, "a")
		want := fmt.Sprint(map[string]string{first[d.id.Device]: "1/1 503001", now: "1/0 0"})
		waitFor(t, "the events of "+d.id.String(), func() bool { return fmt.Sprint(livesOf(t, b, d.id.Device)) == want })
		if got := willsOf(t, b, d.id.Device); len(got) != 1 {
			t.Errorf("wills of %s: %q", d.id, got)
		}
	}
	if s := b.AwaitSession(t, "dev-0", "owner", func(s hubtest.Session) bool { return s.Node == "b" }); !s.Connected {
		t.Errorf("who had moved: %+v", s)
	}
	if got := willsOf(t, b, "dev-0"); len(got) != 1 {
		t.Errorf("wills of who had moved: %q", got)
	}
}

// TestConversationsOnEitherNode: calls, desired properties and messages find the
// device on whichever node it is, asked at whichever; its session goes with it.
func TestConversationsOnEitherNode(t *testing.T) {
	h := startNodes(t, "a", "b")
	a := h.nodes["a"]
	d := newDevice(t, a, "roamer")
	mail := "devices/roamer/messages/devicebound/#"
	for round, node := range []string{"a", "b", "a"} {
		c, present, err := h.at(d.with(persistent), node).connect()
		if err != nil || present != (round > 0) {
			t.Fatalf("connect to %s: session present %v, %v", node, present, err)
		}
		if !present {
			if _, err := c.subscribe(methodCalls, desiredWrites, mail); err != nil {
				t.Fatal(err)
			}
		}
		told := make(chan string, 100)
		go func() {
			defer close(told)
			for {
				m, err := c.hear()
				if err != nil {
					return
				}
				topic, body := string(m.Topic), string(m.Payload)
				if rid, ok := strings.CutPrefix(topic, "$iothub/methods/POST/now/?$rid="); ok {
					_ = c.say("$iothub/methods/res/200/?$rid="+rid, body)
				}
				_ = c.puback(m)
				told <- body
			}
		}()
		for i := range 4 { // whichever node answers
			want := fmt.Sprintf(`{"round":%d,"call":%d}`, round, i)
			if got := a.CLI(t, "method", "invoke", "roamer", "now", "-p", want); !strings.Contains(string(got), want) {
				t.Errorf("the answer at %s is %s", node, got)
			}
			awaitBody(t, told, want)
		}
		a.CLI(t, "twin", "update", "roamer", "--desired", fmt.Sprintf(`{"round":%d}`, round))
		awaitBody(t, told, fmt.Sprintf(`"round":%d`, round))
		a.CLI(t, "c2d", "send", "roamer", fmt.Sprintf("letter %d", round))
		awaitBody(t, told, fmt.Sprintf("letter %d", round))
		c.close()
		for range told {
		}
	}
}

// awaitBody waits for a message that holds want.
func awaitBody(t *testing.T, told <-chan string, want string) {
	t.Helper()
	for {
		body, ok := <-told
		if !ok {
			t.Fatalf("the connection has ended before %q came", want)
		}
		if strings.Contains(body, want) {
			return
		}
	}
}

// TestTwoNodesOfOneName: the second says what is wrong, and the first goes on.
func TestTwoNodesOfOneName(t *testing.T) {
	h := startNodes(t, "a")
	a := h.nodes["a"]
	args := append([]string{"serve", "--data-dir", t.TempDir(), "--nats", h.nats.url, "--node", "a"}, h.places["a"].another(t).flags()...)
	checkRefusedStart(t, hubtest.Run(t, nil, args...), 1, `"a"`, "HUBGATE_NODE")
	newDevice(t, a, "d").mustConnect(t)
}
