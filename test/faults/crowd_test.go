package faults

import (
	"bufio"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
)

const (
	halfOpen = 10_000
	// What this process needs besides.
	spareFiles = 200
)

// TestHalfOpen lets thousands of peers hold a socket and say nothing, or half
// of something, while devices connect and publish.
func TestHalfOpen(t *testing.T) {
	n := halfOpen
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if most := int(files.Cur) - spareFiles; n > most {
		t.Logf("the limit of open files is %d: %d half-open connections instead of %d", files.Cur, most, n)
		n = most
	}
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	late := newDevice(t, g, "late")
	before := g.Memory(t)
	logged := g.Log.Len()

	hello := tlsHello(t)
	half := hello[:len(hello)/2]
	connect := bytesOf(t, late.hello(), mqtt.V311)
	begin := time.Now()
	silent := make([]*client, n)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				addr, say := address(g, mqttPort), half
				switch i % 4 {
				case 0:
					say = nil
				case 1:
					addr, say = address(g, plainPort), connect[:len(connect)/2]
				case 2:
					addr = address(g, httpsPort)
				}
				c, err := dial(addr, nil)
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				_ = c.write(say) // displaced by a later one already, perhaps
				silent[i] = c
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d half-open connections after %v", n, time.Since(begin))

	for i := range 20 { // newcomers get in, past all of them
		begin := time.Now()
		conn, _, err := late.connect()
		if err != nil {
			t.Fatalf("newcomer %d: %v", i, err)
		}
		if err := conn.publish(late.eventsTopic(""), "late", 1); err != nil {
			t.Fatalf("newcomer %d: %v", i, err)
		}
		conn.close()
		if i == 0 {
			t.Logf("a newcomer connected and published within %v", time.Since(begin))
		}
	}
	full := g.Memory(t)
	for _, c := range silent {
		c.close()
	}
	innocent.finish(t)
	crowded := func(l hubtest.Line) bool { return strings.Contains(l.Text("reason"), "too many peers") }
	if len(g.Log.Lines(logged, crowded)) == 0 {
		t.Error("the log does not say that peers had to go because there were too many")
	}
	t.Logf("resident memory: %d MiB before, %d MiB with the crowd; %d log lines", before>>20, full>>20, g.Log.Len()-logged)
	if limit := before + 300<<20; full > limit {
		t.Errorf("resident memory %d MiB with %d half-open connections, %d before", full>>20, n, before>>20)
	}
	if lines, seconds := g.Log.Len()-logged, int(time.Since(begin).Seconds())+1; lines > 120*seconds {
		t.Errorf("%d log lines in %d seconds", lines, seconds)
	}
}

// TestFewFiles gives the gateway fewer files than there are silent peers: it
// keeps some for itself, lets the silent ones go, and devices get in.
func TestFewFiles(t *testing.T) {
	g := start(t, hubtest.Options{Wrapper: []string{"sh", "-c", `ulimit -n 400; exec "$@"`, "sh"}})
	g.Log.Await(t, "the lowered limits", func(l hubtest.Line) bool { return strings.Contains(l.Text("message"), "few files") })
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	late := newDevice(t, g, "late")
	for i := range 900 {
		addr := address(g, mqttPort)
		if i%2 == 1 {
			addr = address(g, httpsPort)
		}
		c, err := dial(addr, nil)
		if err != nil {
			t.Fatalf("silent peer %d: %v", i, err)
		}
		defer c.close()
	}
	begin := time.Now()
	for i := range 5 {
		if err := late.mustConnect(t).publish(late.eventsTopic(""), "x", 1); err != nil {
			t.Fatalf("newcomer %d: %v", i, err)
		}
	}
	checkHTTPS(t, g, late.tls)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("newcomers waited %v", took)
	}
	innocent.finish(t)
}

// TestLargeBeginnings has a thousand peers send most of a large CONNECT that
// nobody has asked for: what they make the gateway hold is bounded.
func TestLargeBeginnings(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	before := g.Memory(t)
	const n = 1000
	for name, size := range map[string]int{"larger than a CONNECT may be": 270_000, "as large": 60_000} {
		b := append(remaining(0x10, size), "\x00\x04MQTT\x04\x02\x00\x00\x00\x01d"...)
		b = append(b, make([]byte, size*9/10)...)
		for range n {
			s, err := dial(address(g, plainPort), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			_ = s.write(b) // the gateway may close before it has read all
		}
		full := g.Memory(t)
		t.Logf("%s: resident memory %d MiB before, %d MiB with %d of them", name, before>>20, full>>20, n)
		if full > before+200<<20 {
			t.Errorf("resident memory grew from %d to %d MiB", before>>20, full>>20)
		}
	}
	innocent.finish(t)
}

// remaining is a fixed header that announces size bytes.
func remaining(first byte, size int) []byte {
	b := []byte{first}
	for size >= 0x80 {
		b = append(b, byte(size)|0x80)
		size >>= 7
	}
	return append(b, byte(size))
}

// TestSilentWebSockets fills all places for handshakes with WebSockets that say
// nothing and do not answer when they are closed: newcomers do not wait for
// them.
func TestSilentWebSockets(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{"--set", "limits.half_open=4"}})
	d := newDevice(t, g, "somebody")
	for i := range 12 {
		c, err := dial(address(g, httpsPort), d.tls)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		begin := time.Now()
		if err := c.write([]byte(upgrade)); err != nil {
			t.Fatal(err)
		}
		_ = c.nc.SetReadDeadline(time.Now().Add(patience))
		if line, err := bufio.NewReader(c.nc).ReadString('\n'); err != nil || !strings.Contains(line, "101") {
			t.Fatalf("WebSocket %d: %q, %v", i, line, err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("WebSocket %d waited %v", i, took)
		}
	}
	begin := time.Now()
	if err := d.mustConnect(t).publish(d.eventsTopic(""), "x", 1); err != nil {
		t.Fatal(err)
	}
	checkHTTPS(t, g, d.tls)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("a device and a browser waited %v", took)
	}
}

// TestFight lets two clients with one id displace each other for three
// seconds: both get in every time, and what is left is a bounded log and
// well-formed events.
func TestFight(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	d := newDevice(t, g, "torn")
	fight := func() int {
		stop := make(chan struct{})
		timer := time.AfterFunc(3*time.Second, func() { close(stop) })
		defer timer.Stop()
		var rounds atomic.Int64
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := oneRound(d, stop); err != nil {
						t.Errorf("round %d: %v", rounds.Load(), err)
						return
					}
					rounds.Add(1)
				}
			})
		}
		wg.Wait()
		return int(rounds.Load())
	}
	first := fight() // grows pools and heap to what the fight takes
	before, logged := g.Memory(t), g.Log.Len()
	rounds := first + fight()
	lines := g.Log.Len() - logged
	after := g.Memory(t)
	t.Logf("%d connections in 6 s; %d log lines in the last 3; resident memory %d MiB before them, %d after", rounds, lines, before>>20, after>>20)
	if lines > 4*60 {
		t.Errorf("%d log lines in 3 s of fighting, want a bound", lines)
	}
	if after > before+64<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, after>>20)
	}
	innocent.finish(t)
	checkFightEvents(t, g, "torn", rounds)
	checkGoroutines(t, g)
}

// oneRound connects and stays until it is displaced or the fight is over. Who is
// displaced before he is let in is told to come back later, and does.
func oneRound(d *device, stop <-chan struct{}) error {
	c, _, err := d.connect()
	for isLater(err) {
		c, _, err = d.connect()
	}
	if err != nil {
		return err
	}
	defer c.close()
	gone := make(chan error, 1)
	go func() {
		_, err := c.receive()
		gone <- err
	}()
	select {
	case err := <-gone:
		if !isClosed(err) {
			return fmt.Errorf("displaced by %w, want a closed connection", err)
		}
	case <-stop:
		c.close()
		<-gone
	}
	return nil
}

// checkFightEvents checks that every connection has a beginning and an end, in
// pairs. Their sequence numbers tell the order: a connection may be displaced before
// its own beginning is told.
func checkFightEvents(t *testing.T, g *hubtest.Gateway, id string, rounds int) {
	t.Helper()
	all := g.AwaitEvents(t, id, "both events of every connection", func(all []hubtest.Event) bool { return len(all) >= 2*rounds })
	slices.SortFunc(all, func(a, b hubtest.Event) int { return strings.Compare(a.SequenceNumber, b.SequenceNumber) })
	open := map[string]hubtest.Event{}
	sequence := map[string]bool{}
	replaced := 0
	for _, e := range all {
		if sequence[e.SequenceNumber] {
			t.Fatalf("two events have the sequence number of %+v", e)
		}
		sequence[e.SequenceNumber] = true
		_, known := open[e.Connection]
		switch {
		case e.Connected() && known:
			t.Fatalf("%+v began twice", e)
		case e.Connected():
			open[e.Connection] = e
			continue
		case !known:
			t.Fatalf("%+v ended and never began", e)
		}
		delete(open, e.Connection)
		if e.Code == int(hub.ConnectionReplaced) {
			replaced++
		} else if e.Code != int(hub.ConnectionLost) {
			t.Errorf("ended by %+v, want code %d, or %d at the end of the fight", e, hub.ConnectionReplaced, hub.ConnectionLost)
		}
	}
	if len(open) > 0 {
		t.Errorf("%d connections have no end", len(open))
	}
	if replaced < rounds/2 {
		t.Errorf("%d of %d connections were replaced", replaced, rounds)
	}
	s := g.AwaitSession(t, id, "no connection", func(s hubtest.Session) bool { return !s.Connected })
	t.Logf("%d events, %d replaced; the last end: %q", len(all), replaced, s.Reason)
}

// checkGoroutines ends the gateway in the way that has it print its
// goroutines: nobody is connected any more, so that there are few.
func checkGoroutines(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	g.Stop(t, syscall.SIGQUIT)
	_, dump, found := strings.Cut(g.Log.String(), "SIGQUIT: quit")
	if !found {
		t.Fatalf("no goroutines after SIGQUIT:\n%s", hubtest.Tail(g.Log.String()))
	}
	n := len(regexp.MustCompile(`(?m)^goroutine \d+`).FindAllString(dump, -1))
	t.Logf("%d goroutines are left", n)
	if n > 470 { // a gateway that has done nothing yet has some 340
		t.Errorf("%d goroutines are left:\n%s", n, hubtest.Tail(dump))
	}
}

// TestNoFight checks that module and device do not displace each
// other, nor a device another one whose id differs by case.
func TestNoFight(t *testing.T) {
	g := start(t, hubtest.Options{})
	var conns []*client
	var devices []*device
	for _, id := range []string{"one", "One", "one/mod", "one/Mod", "one.mod", "one=2Emod"} {
		d := newDevice(t, g, id)
		devices, conns = append(devices, d), append(conns, d.mustConnect(t))
	}
	for i, d := range devices {
		if err := conns[i].publish(d.eventsTopic(""), "alive", 1); err != nil {
			t.Errorf("%s: %v", d.id, err)
		}
		n := 0
		g.Each(t, "HUB_TELEMETRY", "hub.telemetry."+hubtest.Key(d.id.String()), func(jetstream.Msg) { n++ })
		if n != 1 {
			t.Errorf("%s has %d messages, want its own", d.id, n)
		}
	}
	for _, d := range devices {
		if n := events(t, g, d.id.String()); n != 1 {
			t.Errorf("%s has %d connection events, want one", d.id, n)
		}
	}
	if _, _, err := devices[0].with(func(c *mqtt.Connect) { c.ClientID = []byte("One") }).connect(); !errors.As(err, new(*refusedError)) {
		t.Errorf("connect as one with client id One: %v, want a refusal", err)
	}
}
