package faults

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// power tells clients when the gateway is up again.
type power struct {
	mu sync.Mutex
	on chan struct{} // closed while it is up
}

func newPower() *power {
	p := &power{on: make(chan struct{})}
	close(p.on)
	return p
}

func (p *power) off() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.on = make(chan struct{})
}

func (p *power) up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.on)
}

// wait waits until the gateway is up; it gives up in the end.
func (p *power) wait(*publisher) bool {
	p.mu.Lock()
	on := p.on
	p.mu.Unlock()
	select {
	case <-on:
		return true
	case <-time.After(2 * patience):
		return false
	}
}

// newPublishers makes devices with a window of messages each. warm gets a value
// when a connection of one has been used for a while.
func newPublishers(t *testing.T, g *hubtest.Gateway, n, window int) (all []*publisher, warm chan struct{}) {
	t.Helper()
	warm = make(chan struct{}, 100*n)
	for i := range n {
		all = append(all, &publisher{
			device: newDevice(t, g, fmt.Sprintf("pub-%02d", i)), window: window,
			warm: func() { warm <- struct{}{} },
		})
	}
	return all, warm
}

// killed starts publishers, kills the gateway amid them a number of times, and
// checks what is in the stream.
func killed(t *testing.T, g *hubtest.Gateway, clients, kills int) {
	t.Helper()
	all, warm := newPublishers(t, g, clients, 16)
	state := newPower()
	c := begin(t, all, state.wait)
	started := time.Now()
	for range kills {
		for range clients {
			await(t, "every client to publish", warm)
		}
		<-time.After(rand.N(150 * time.Millisecond)) // anywhere in the work of the gateway
		state.off()
		g.Stop(t, syscall.SIGKILL)
		g.Start(t)
		state.up()
	}
	for range clients {
		await(t, "every client to publish after the last kill", warm)
	}
	c.finish()
	took := time.Since(started)
	for _, p := range all {
		checkComeback(t, p, kills)
	}
	t.Logf("%d kills amid %d clients in %v: %v", kills, clients, took.Round(time.Millisecond), audit(t, g, all...))
}

// checkComeback checks that the first attempt after each kill got in.
func checkComeback(t *testing.T, p *publisher, kills int) {
	t.Helper()
	if last := p.ends[len(p.ends)-1]; last != nil {
		t.Errorf("%s ended by %v", p.id, last)
	}
	if p.sessions != kills+1 {
		t.Errorf("%s had %d connections over %d kills, want one for each life of the gateway; they ended by %v", p.id, p.sessions, kills, p.ends)
	}
}

func TestKilledAmidPublishers(t *testing.T) {
	g := start(t, hubtest.Options{})
	killed(t, g, 50, 20)
}

func TestKilledWithSyncAlways(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{"--sync", "always"}})
	killed(t, g, 50, 2)
}

// TestTerminatedUnderLoad ends the gateway by SIGTERM: what it received it
// stores and acknowledges, and the next start finds everything.
func TestTerminatedUnderLoad(t *testing.T) {
	g := start(t, hubtest.Options{})
	all, warm := newPublishers(t, g, 50, 16)
	keeper := newDevice(t, g, "keeper")
	keeper.change = persistent
	subscriber := keeper.mustConnect(t)
	filters := []string{"$iothub/methods/POST/#", "$iothub/twin/res/#", "devices/keeper/messages/devicebound/#"}
	codes, err := subscriber.subscribe(filters...)
	if err != nil || string(codes) != "\x01\x01\x01" {
		t.Fatalf("subscribe: codes %v, %v", codes, err)
	}
	before := remember(t, g, keeper)

	state := newPower()
	c := begin(t, all, state.wait)
	for range all {
		await(t, "every client to publish", warm)
	}
	state.off()
	begun := time.Now()
	g.Stop(t, syscall.SIGTERM) // fails t unless the exit code is 0
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("SIGTERM took %v, want at most 10 s", took)
	}
	subscriber.close()

	g.Start(t)
	state.up()
	for range all {
		await(t, "every client to publish again", warm)
	}
	c.finish()
	sum := audit(t, g, all...)
	t.Logf("%v", sum)
	if sum.duplicates > 0 {
		t.Errorf("%d messages were stored and not acknowledged before the gateway ended", sum.duplicates)
	}
	for _, p := range all {
		checkComeback(t, p, 1)
	}

	if after := remember(t, g, keeper); after != before {
		t.Errorf("after the restart: %+v, want %+v", after, before)
	}
	again, present, err := keeper.connect()
	if err != nil || !present {
		t.Fatalf("connect with clean session 0 after the restart: session present %v, %v", present, err)
	}
	defer again.close()
	g.AwaitSession(t, "keeper", "subscriptions", func(s hubtest.Session) bool { return s.Connected && s.Has(filters...) })
}

// memory is what a gateway must not forget.
type memory struct {
	hub, service, device, generation, ca string
}

func remember(t *testing.T, g *hubtest.Gateway, d *device) memory {
	t.Helper()
	id := d.id.String()
	shown := g.CLI(t, "device", "show", "-o", "json", "--", id)
	var record struct {
		GenerationID string `json:"generationId"`
	}
	if err := json.Unmarshal(shown, &record); err != nil || record.GenerationID == "" {
		t.Fatalf("device show printed %s: %v", shown, err)
	}
	ca, err := os.ReadFile(g.Path(g.Ready.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	return memory{
		hub: g.Ready.HostName, service: g.Ready.ServiceConnectionString, generation: record.GenerationID, ca: string(ca),
		device: string(g.CLI(t, "device", "connection-string", "--", id)),
	}
}

// persistent asks for a session that outlives the connection.
func persistent(c *mqtt.Connect) { c.CleanStart = false }

// TestKilledWhileStarting ends the gateway at any moment of its first start,
// when it makes its certificates, credentials and streams. The next start
// finishes the work.
func TestKilledWhileStarting(t *testing.T) {
	flags := addressFlags(hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort))
	begun := time.Now()
	g := hubtest.Start(t, hubtest.Options{Flags: flags})
	whole := time.Since(begun)
	g.Stop(t, syscall.SIGTERM)
	const rounds = 20
	for i := range rounds {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			g := hubtest.New(t, hubtest.Options{Flags: flags})
			g.StartAndKill(t, whole*time.Duration(i)/rounds)
			g.StartAndKill(t, rand.N(whole))
			g.Start(t)
			d := newDevice(t, g, "survivor")
			if err := d.mustConnect(t).publish(d.eventsTopic(""), "x", 1); err != nil {
				t.Error(err)
			}
		})
	}
}
