package faults

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/timeline"
)

// TestFloodingDeviceIsSlowed has one device send as fast as it can: it gets its
// rate, and fifty others notice nothing.
func TestFloodingDeviceIsSlowed(t *testing.T) {
	const rate, others, each = 50, 50, 40
	g := start(t, hubtest.Options{Flags: []string{"--set", fmt.Sprintf("rates.device_messages=%d/s", rate)}})
	warm := make(chan struct{})
	flood := &publisher{device: newDevice(t, g, "flood").plain(), window: 64, warm: sync.OnceFunc(func() { close(warm) })}
	crowd := make([]*device, others)
	for i := range crowd {
		crowd[i] = newDevice(t, g, fmt.Sprintf("other-%d", i)).plain()
	}
	begun := time.Now()
	c := begin(t, []*publisher{flood}, never)
	await(t, "the flood to begin", warm)
	var wg sync.WaitGroup
	for _, d := range crowd {
		wg.Go(func() {
			conn, _, err := d.connect()
			if err != nil {
				t.Errorf("%s: %v", d.id, err)
				return
			}
			defer conn.close()
			for i := range each {
				if err := conn.publish(d.eventsTopic(""), "x", uint16(i+1)); err != nil {
					t.Errorf("%s, message %d: %v", d.id, i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for { // long enough for the rate to show
		if time.Since(begun) > 3*time.Second {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	sent, took := flood.done.Load(), time.Since(begun)
	t.Logf("the flood had %d messages in %v at %d/s", sent, took, rate)
	if most := rate*(took.Seconds()+2) + 700; float64(sent) > most { // one read may hold some 500
		t.Errorf("%d messages passed in %v, want at most %.0f", sent, took, most)
	}
	r := why(t, g, "flood", func(r timeline.Report) bool {
		return told(r, timeline.Throttled, hub.Throttled, "50 messages a second")
	})
	if r.Connection == nil || !r.Connection.Connected {
		t.Error("the device that was slowed is not connected any more")
	}
	for _, d := range crowd[:3] {
		r := why(t, g, d.id.String(), func(timeline.Report) bool { return true })
		if told(r, timeline.Throttled, hub.Throttled, "") {
			t.Errorf("%s was throttled too", d.id)
		}
	}
	c.stop() // its last messages take as long as the rate wants
	c.wg.Wait()
	audit(t, g, flood)
}

// twinRequests sends n requests for the twin and counts the answers by status.
func twinRequests(c *client, n int) (map[string]int, error) {
	var out []byte
	for i := range n {
		p := mqtt.Publish{Topic: fmt.Appendf(nil, "$iothub/twin/GET/?$rid=%d", i)}
		out, _ = p.Append(out, mqtt.V311)
	}
	if err := c.write(out); err != nil {
		return nil, err
	}
	count := map[string]int{}
	for range n {
		p, err := c.receive()
		if err != nil {
			return count, err
		}
		answer, ok := p.(*mqtt.Publish)
		if !ok {
			return count, fmt.Errorf("the answer is %s", p.Type())
		}
		rest := strings.TrimPrefix(string(answer.Topic), "$iothub/twin/res/")
		count[rest[:3]]++
		if rest[:3] == "429" && !strings.Contains(string(answer.Payload), `"errorCode":429001`) {
			return count, fmt.Errorf("the body of a 429 is %s", answer.Payload)
		}
	}
	return count, nil
}

// TestTwinFlood answers too many twin requests by 429 and leaves the connection
// alone; another device has its twin as ever.
func TestTwinFlood(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{"--set", "rates.device_twin_reads=5/s"}})
	d, other := newDevice(t, g, "asks"), newDevice(t, g, "other")
	c, o := d.mustConnect(t), other.mustConnect(t)
	for _, c := range []*client{c, o} {
		if _, err := c.subscribe("$iothub/twin/res/#"); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	got, err := twinRequests(c, 500)
	if err != nil {
		t.Fatalf("after %v: %v", got, err)
	}
	most := 5 * (int(time.Since(begun).Seconds()) + 2)
	if got["200"] < 5 || got["200"] > most || got["200"]+got["429"] != 500 {
		t.Errorf("the answers were %v in %v", got, time.Since(begun))
	}
	if got, err := twinRequests(o, 1); err != nil || got["200"] != 1 {
		t.Errorf("another device got %v, %v", got, err)
	}
	if err := c.publish(d.eventsTopic(""), "still here", 1); err != nil {
		t.Error(err)
	}
	why(t, g, "asks", func(r timeline.Report) bool {
		return told(r, timeline.Throttled, hub.Throttled, "rates.device_twin_reads")
	})
}

// TestAbuseIsCut ends the connection of a device that cares for no 429.
func TestAbuseIsCut(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{
		"--set", "rates.device_twin_reads=1/s", "--set", "rates.abuse_factor=3", "--set", "rates.abuse_after=2s",
	}})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	d := newDevice(t, g, "deaf")
	c := d.mustConnect(t)
	if _, err := c.subscribe("$iothub/twin/res/#"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for {
		_, err := twinRequests(c, 10)
		if isClosed(err) {
			break
		}
		if err != nil || time.Since(begun) > patience {
			t.Fatalf("the connection was not cut: %v", err)
		}
	}
	if took := time.Since(begun); took < 2*time.Second {
		t.Errorf("cut after %v", took)
	}
	why(t, g, "deaf", func(r timeline.Report) bool { return told(r, timeline.Closed, hub.Throttled, "3 times 1 twin reads") })
	if again, _, err := d.connect(); err != nil {
		t.Errorf("it may not come again: %v", err)
	} else {
		again.close()
	}
	innocent.finish(t)
}

// TestConnectRate answers CONNECT by 3 when there are too many, and nobody who
// is connected notices.
func TestConnectRate(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{"--set", "rates.node_connects=5/s"}})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	d := newDevice(t, g, "eager").plain()
	refused, begun := 0, time.Now()
	for range 200 {
		c, _, err := d.connect()
		if err == nil {
			c.close()
			continue
		}
		if e, ok := err.(*refusedError); !ok || e.code != 3 { //nolint:errorlint // connect returns it bare
			t.Fatalf("refused by %v", err)
		}
		refused++
	}
	most := 5 * (int(time.Since(begun).Seconds()) + 2)
	if refused < 200-most {
		t.Errorf("%d of 200 were refused in %v", refused, time.Since(begun))
	}
	innocent.finish(t)
}
