package conformance

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/test/hubtest"
)

// TestC2DQueue fills a queue and empties it, while its device is away. It needs no
// SDK and no standard port.
func TestC2DQueue(t *testing.T) {
	t.Parallel()
	const id, depth = "dev.1", 50
	g := startWith(t, "--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0")
	who := g.create(id)
	var want []string
	for _, m := range g.sendNumbered(id, 0, depth) {
		want = append(want, m.MessageID+" Purged")
	}
	full := &nats.Msg{Subject: "hub.c2d." + hubtest.Key(id), Data: []byte("one too many")}
	if _, err := g.JS.PublishMsg(t.Context(), full); err == nil || !strings.Contains(err.Error(), "maximum messages per subject") {
		t.Errorf("publish to a full queue: %v", err)
	}
	if r := g.Command(t, "c2d", "send", "-o", "json", id, "one too many"); r.Code != 1 || !strings.Contains(r.Stdout, "403004") {
		t.Errorf("send to a full queue: exit code %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if got := len(g.list("peek", id)); got != depth {
		t.Errorf("%d messages wait, want %d", got, depth)
	}
	if out := g.cli("c2d", "purge", id); !strings.Contains(string(out), strconv.Itoa(depth)) {
		t.Errorf("purge printed %q", out)
	}
	g.awaitEmpty(id)
	g.wantOutcomes(id, who, want...)
	if got := len(g.list("dead-letters", id)); got != 0 {
		t.Errorf("%d dead letters of a purge", got)
	}
	g.cli("c2d", "send", id, "there is room again")
}

// TestC2DDeliveryCount takes a message ten times and never acknowledges it: then
// it is a dead letter, until that is sent again.
func TestC2DDeliveryCount(t *testing.T) {
	t.Parallel()
	const id, deliveries = "dev.1", 10
	g := startWith(t, "--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0")
	who := g.create(id)
	g.sendC2D(id, numbered(0))
	var first packet
	for n := range deliveries {
		c := dialC2D(t, g, id)
		p := c.next("PUBLISH")
		if n == 0 {
			first = p
		}
		if p.get("id") != first.get("id") || p.get("topic") != first.get("topic") || p.num("dup") != min(n, 1) || p.get("payload") != "000" {
			t.Errorf("delivery %d: %s\nthe first was %s", n+1, p, first)
		}
		_ = c.Close()
		g.awaitFailures(id, n+1)
	}
	c := dialC2D(t, g, id)
	g.awaitEmpty(id)
	g.wantOutcomes(id, who, "m-000 DeliveryCountExceeded")
	letters := g.list("dead-letters", id)
	if len(letters) != 1 || letters[0].Status != "DeliveryCountExceeded" || letters[0].Message.ID != "m-000" {
		t.Fatalf("dead letters %+v", letters)
	}
	g.cli("c2d", "requeue", strconv.FormatUint(letters[0].Sequence, 10))
	p := c.next("PUBLISH") // the first that this connection gets
	if p.get("topic") != first.get("topic") || p.num("dup") != 0 || p.get("id") == first.get("id") {
		t.Errorf("after requeue: %s\nthe first was %s", p, first)
	}
	c.say("PUBACK id=" + p.get("id"))
	g.awaitEmpty(id)
	g.wantOutcomes(id, who, "m-000 DeliveryCountExceeded", "m-000 Success")
	if got := len(g.list("dead-letters", id)); got != 0 {
		t.Errorf("%d dead letters after requeue", got)
	}
}

// listed is what the CLI prints of a message or of a dead letter.
type listed struct {
	Sequence uint64 `json:"sequence"`
	Status   string `json:"statusCode"`
	Message  struct {
		ID string `json:"messageId"`
	} `json:"message"`
}

func (g *gateway) list(verb, id string) (all []listed) {
	g.t.Helper()
	if err := json.Unmarshal(g.cli("c2d", verb, "-o", "json", id), &all); err != nil {
		g.t.Fatalf("read the output of c2d %s: %v", verb, err)
	}
	return all
}

// awaitFailures waits until a device's deliveries in vain are counted in hub_c2d.
func (g *gateway) awaitFailures(id string, n int) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	kv, err := g.JS.KeyValue(ctx, "hub_c2d")
	if err != nil {
		g.t.Fatal(err)
	}
	watcher, err := kv.Watch(ctx, hubtest.Key(id))
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = watcher.Stop() }()
	for {
		select {
		case e := <-watcher.Updates():
			var state struct {
				Failures map[string]int `json:"failures"`
			}
			if e == nil {
				continue // all that was there is seen
			}
			if err := json.Unmarshal(e.Value(), &state); err != nil {
				g.t.Fatalf("read %q: %v", e.Value(), err)
			}
			for _, count := range state.Failures {
				if count == n {
					return
				}
			}
		case <-ctx.Done():
			g.t.Fatalf("delivery %d was not counted within %v", n, patience)
		}
	}
}

// rawDevice speaks MQTT in the words of transcripts.
type rawDevice struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

// dialC2D connects a device with clean session 0 and subscribes to its messages.
func dialC2D(t *testing.T, g *gateway, id string) *rawDevice {
	t.Helper()
	address := net.JoinHostPort(g.Ready.HostName, strconv.Itoa(g.Ready.Ports.MQTT))
	nc, err := tls.Dial("tcp", address, trusting(t, g))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(2 * patience))
	c := &rawDevice{Conn: nc, t: t, in: bufio.NewReader(nc)}
	c.say(fmt.Sprintf(`CONNECT protocol="MQTT" level=4 id=%q user=%q password=%q keepalive=240 clean=0`,
		id, g.Ready.HostName+"/"+id+"/?api-version=2021-04-12", g.sas(id, time.Hour)))
	if p := c.next("CONNACK"); p.get("code") != "0" {
		t.Fatal(p)
	}
	c.say(fmt.Sprintf(`SUBSCRIBE id=1 filter=%q qos=1`, "devices/"+id+"/messages/devicebound/#"))
	c.next("SUBACK")
	return c
}

func (c *rawDevice) say(text string) {
	c.t.Helper()
	p, err := parse(text)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := p.encode()
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("write %s: %v", p.name, err)
	}
}

// next reads a packet of this name.
func (c *rawDevice) next(name string) packet {
	c.t.Helper()
	raw, err := readPacket(c.in)
	if err != nil {
		c.t.Fatalf("wait for %s: %v", name, err)
	}
	p := decode(raw)
	if p.name != name {
		c.t.Fatalf("the gateway says %s, want %s", p, name)
	}
	return p
}
