//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// testNATS is an embedded nats-server with MQTT.
func testNATS(t *testing.T) *server {
	t.Helper()
	opts := natsOptions(t.TempDir())
	opts.DontListen, opts.Host, opts.Port = false, "127.0.0.1", natsserver.RANDOM_PORT
	opts.MQTT = natsserver.MQTTOpts{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, MaxAckPending: drainWindow}
	n, err := startNATS(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.Shutdown()
		n.WaitForShutdown()
	})
	addr := netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", opts.MQTT.Port))
	return &server{name: nameNATSSub, plain: addr, who: (&host{payload: []byte("x")}).anyone, nats: natsSide{url: n.ClientURL()}}
}

func drainOf(t *testing.T, s *server) *drain {
	t.Helper()
	t.Cleanup(besideEngine())
	d, err := openDrain(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// takes waits until d has taken so much.
func (d *drain) takes(t *testing.T, want uint64) {
	t.Helper()
	limit, look := time.After(drainTime), time.NewTicker(time.Millisecond)
	defer look.Stop()
	for d.taken.Load() < want {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("took %d of %d", d.taken.Load(), want)
		}
	}
	if got, err := d.taken.Load(), d.fault(); got != want || err != nil {
		t.Errorf("took %d of %d: %v", got, want, err)
	}
}

// TestDrainSubscriber takes more than its window from a broker, all of it.
func TestDrainSubscriber(t *testing.T) {
	s := testNATS(t)
	d := drainOf(t, s)
	clients, err := dialAll(s, cell{conns: 10})
	defer closeAll(clients)
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(clients, load{window: drainWindow / 8, measure: 200 * time.Millisecond, probe: d.marking(noProbe)})
	if err != nil {
		t.Fatal(err)
	}
	d.takes(t, out.Acked)
	if len(d.marks) != 2 || d.marks[1] < d.marks[0] || d.marks[1] > out.Acked {
		t.Errorf("took %v within the time, of %d", d.marks, out.Acked)
	}
}

// TestDrainConsumer takes what comes into the gateway's stream from the start of
// the cell, and leaves no consumer.
func TestDrainConsumer(t *testing.T) {
	s := testNATS(t)
	s.name = nameHubgate
	conn, err := s.nats.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "HUB_TELEMETRY", Subjects: []string{"hub.telemetry.>"}})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(n int) {
		t.Helper()
		for range n {
			if _, err := js.Publish(t.Context(), "hub.telemetry.d", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish(3)
	t.Run("taken", func(t *testing.T) {
		d := drainOf(t, s)
		publish(2 * drainWindow)
		d.takes(t, 2*drainWindow)
	})
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Consumers != 0 {
		t.Errorf("%d consumers are left", info.State.Consumers)
	}
}

func TestRecordDrain(t *testing.T) {
	tests := map[string]struct {
		taken uint64
		note  string
		fault string
	}{
		"kept up": {90, "generator-bound", ""},
		"behind":  {89, "generator-bound; consumer fell behind", ""},
		"nothing": {0, "generator-bound", "nothing was delivered"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			k := newBook()
			k.note("r", nameHubgate, "generator-bound")
			for range 2 {
				k.recordDrain("r", nameHubgate, outcome{Counted: 100, Elapsed: time.Second}, tc.taken)
			}
			if got := k.values("r", nameHubgate, metricTaken); len(got) != 2 || got[0] != float64(tc.taken) {
				t.Errorf("got %v", got)
			}
			if got := k.notes[[2]string{"r", nameHubgate}]; got != tc.note {
				t.Errorf("got the remark %q, want %q", got, tc.note)
			}
			if faults := strings.Join(k.faults, ""); (faults == "") != (tc.fault == "") || !strings.Contains(faults, tc.fault) {
				t.Errorf("got the faults %q, want %q", faults, tc.fault)
			}
		})
	}
}
