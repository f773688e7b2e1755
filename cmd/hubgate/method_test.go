package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// serveCalls subscribes to direct methods and answers as f says; an empty
// status is no answer.
func (d *testDevice) serveCalls(t *testing.T, f func(method, payload string) (status, answer string)) {
	t.Helper()
	token := d.Subscribe("$iothub/methods/POST/#", 1, func(c paho.Client, m paho.Message) {
		method, rid, ok := strings.Cut(strings.TrimPrefix(m.Topic(), "$iothub/methods/POST/"), "/?$rid=")
		if !ok {
			t.Errorf("got the topic %q", m.Topic())
		}
		if status, answer := f(method, string(m.Payload())); status != "" {
			c.Publish("$iothub/methods/res/"+status+"/?$rid="+rid, 1, false, answer)
		}
	})
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("SUBSCRIBE: %v", token.Error())
	}
}

// echoes answers a method with its name and payload, except those whose names
// say otherwise.
func echoes(method, payload string) (status, answer string) {
	switch method {
	case "silent":
		return "", ""
	case "empty":
		return "200", ""
	case "text":
		return "404", "not\x1b JSON"
	case "bytes":
		return "-1", "\xff\x00"
	default:
		return "200", payload
	}
}

func TestMethodTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT).serveCalls(t, echoes)
	connectDevice(t, p, create(t, dir, "module", "dev1/camera"), p.ready.Ports.MQTT).serveCalls(t, echoes)
	connectDevice(t, p, create(t, dir, "device", "deaf"), p.ready.Ports.MQTT)
	create(t, dir, "device", "away")
	transcript(t, "method.txt", p, dir)
	p.stopCleanly(t)
}

// TestMethodWhenOnline keeps a call over a kill of the hub until its device
// comes; the device is called once, and the result is told.
func TestMethodWhenOnline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	connection := create(t, dir, "device", "pump")
	r := hubgate(t, env, "method", "invoke", "pump", "open", "--payload", "[1]", "--wait", "2d", "-o", "json")
	var receipt client.Receipt
	if err := json.Unmarshal([]byte(r.out), &receipt); err != nil || r.code != exitOK {
		t.Fatalf("got %q %q: %v", r.out, r.err, err)
	}
	if receipt.State != methods.Pending || receipt.Expires.Sub(receipt.Accepted) != 48*time.Hour {
		t.Errorf("got %+v", receipt)
	}
	cancelled := hubgate(t, env, "method", "invoke", "pump", "close", "--wait", "1h")
	_ = p.stop(t, os.Kill)
	p = startDev(t, dir)
	pending := hubgate(t, env, "method", "pending", "pump")
	wantAll(t, pending.out, receipt.ID, "pump", "open", "close", "pending")
	second := strings.Fields(strings.Split(pending.out, "\n")[2])
	if got := hubgate(t, env, "method", "cancel", "pump", second[len(second)-1]); got.code != exitOK {
		t.Errorf("got %d: %s; the receipt was %s", got.code, got.err, cancelled.out)
	}

	c, err := client.Connect(client.Options{URL: p.ready.NATSURL, CredsFile: p.ready.NATSCreds})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	events, err := c.Conn().SubscribeSync(c.Names().CommandEvent(hub.Identity{Device: "pump"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	calls := make(chan string, 10)
	connectDevice(t, p, connection, p.ready.Ports.MQTT).serveCalls(t, func(method, payload string) (string, string) {
		calls <- method + payload
		return "201", `"opened"`
	})
	m, err := events.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.ParseResult(m)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != receipt.ID || got.Outcome != methods.Answered || got.Answer.Status != 201 || string(got.Answer.Payload) != `"opened"` {
		t.Errorf("got %+v", got)
	}
	if got := <-calls; got != "open[1]" || len(calls) != 0 {
		t.Errorf("the device was called by %s, and %d times more", got, len(calls))
	}
	p.stopCleanly(t)
}

// TestMethodResumedSession: the Java SDK does not subscribe again. Its session
// is enough for a call that waits.
func TestMethodResumedSession(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	first := connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT)
	first.serveCalls(t, echoes)
	first.Disconnect(100)
	c, err := client.Connect(client.Options{URL: p.ready.NATSURL, CredsFile: p.ready.NATSCreds})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call := methods.Call{ID: hub.Identity{Device: "dev1"}, Method: "m", ConnectTimeout: patience}
	done := make(chan error, 1)
	go func() {
		a, err := c.Methods().Invoke(t.Context(), call)
		if err == nil && a.Status != 200 {
			err = fmt.Errorf("status %d", a.Status)
		}
		done <- err
	}()
	again, err := dialDeviceWith(t, p, p.ready.DeviceConnectionString, func(o *paho.ClientOptions) {
		o.SetDefaultPublishHandler(func(c paho.Client, m paho.Message) {
			_, rid, _ := strings.Cut(m.Topic(), "?$rid=")
			c.Publish("$iothub/methods/res/200/?$rid="+rid, 0, false, "1")
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	again.Disconnect(100)
	p.stopCleanly(t)
}

// TestManyCalls makes two hundred calls at once on a real device, and two
// nodes' worth of callers.
func TestManyCalls(t *testing.T) {
	t.Parallel()
	p := startDev(t, t.TempDir())
	connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT).serveCalls(t, echoes)
	c, err := client.Connect(client.Options{URL: p.ready.NATSURL, CredsFile: p.ready.NATSCreds})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			want := fmt.Sprint(i)
			a, err := c.Methods().Invoke(t.Context(), methods.Call{ID: hub.Identity{Device: "dev1"}, Method: "m" + want, Payload: []byte(want)})
			if err != nil || a.Status != 200 || string(a.Payload) != want {
				t.Errorf("call %s: %+v, %v", want, a, err)
			}
		})
	}
	wg.Wait()
	p.stopCleanly(t)
}
