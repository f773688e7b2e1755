//go:build linux

package main

import (
	"net"
	"testing"
	"time"
)

// broker answers CONNECT and acknowledges every PUBLISH. What it does wrong is
// set by its fields.
type broker struct {
	swapAfter  int // swap the acknowledgements of two messages after so many
	closeAfter int // close the connection after so many
}

func (b broker) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go b.answer(conn)
	}
}

func (b broker) answer(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 64<<10)
	var in []byte
	seen, held := 0, []byte(nil)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		in = append(in, buf[:n]...)
		var out []byte
		for size, _ := frame(in); size > 0; size, _ = frame(in) {
			packet := in[:size]
			in = in[size:]
			switch packet[0] {
			case typeConnect:
				out = append(out, typeConnack, 2, 0, 0)
				continue
			case typeDisconnect:
				return
			}
			seen++
			ack := []byte{typePuback, 2, packet[7], packet[8]}
			if seen == b.swapAfter {
				held = ack
				continue
			}
			out = append(append(out, ack...), held...)
			held = nil
		}
		if b.closeAfter > 0 && seen >= b.closeAfter {
			return
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

func testClients(t *testing.T, b broker, n int) []*client {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go b.serve(l)
	who := login{connect: connect{ClientID: "a"}.append(nil), message: newPublish("a/b", []byte("x"))}
	s := &server{plain: addrOf(t, l), who: func(int) login { return who }}
	clients, err := dialAll(s, cell{conns: n})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(clients) })
	return clients
}

func noProbe() usage { return usage{} }

func TestClosedLoop(t *testing.T) {
	clients := testClients(t, broker{}, 20)
	out, err := run(clients, load{window: 4, warm: time.Millisecond, measure: 50 * time.Millisecond, probe: noProbe})
	if err != nil {
		t.Fatal(err)
	}
	if out.Sent == 0 || out.Acked != out.Sent || out.Counted == 0 || out.Counted > out.Acked {
		t.Errorf("sent %d, acked %d, counted %d", out.Sent, out.Acked, out.Counted)
	}
	if out.Disorder != 0 || out.Dropped != 0 {
		t.Errorf("disorder %d, dropped %d", out.Disorder, out.Dropped)
	}
}

func TestOpenLoop(t *testing.T) {
	const rate = 2000
	clients := testClients(t, broker{}, 10)
	out, err := run(clients, load{rate: rate, warm: 50 * time.Millisecond, measure: 200 * time.Millisecond, probe: noProbe})
	if err != nil {
		t.Fatal(err)
	}
	if want := rate / 5; len(out.Latency) != want {
		t.Errorf("got %d latencies, want %d", len(out.Latency), want)
	}
	if out.Acked != out.Sent {
		t.Errorf("sent %d, acked %d", out.Sent, out.Acked)
	}
	for _, l := range out.Latency {
		if l < 0 {
			t.Fatalf("latency %v", l)
		}
	}
}

// TestGreedy: who sends all it can is not among the latencies, and does not keep
// the others from sending what is due.
func TestGreedy(t *testing.T) {
	const rate = 2000
	clients := testClients(t, broker{}, 11)
	out, err := run(clients, load{rate: rate, greedy: 1, warm: 50 * time.Millisecond, measure: 200 * time.Millisecond, probe: noProbe})
	if err != nil {
		t.Fatal(err)
	}
	if want := rate / 5; len(out.Latency) != want {
		t.Errorf("got %d latencies, want %d", len(out.Latency), want)
	}
	greedy := clients[10].acked
	if out.Acked != out.Sent || greedy < greedyWindow || greedy < out.Acked/2 {
		t.Errorf("sent %d, acked %d, of the greedy one %d", out.Sent, out.Acked, greedy)
	}
}

func TestDisorderIsSeen(t *testing.T) {
	clients := testClients(t, broker{swapAfter: 3}, 1)
	out, err := run(clients, load{window: 4, measure: 20 * time.Millisecond, probe: noProbe})
	if err != nil {
		t.Fatal(err)
	}
	if out.Disorder != 2 {
		t.Errorf("got %d acknowledgements out of order, want 2", out.Disorder)
	}
}

func TestDropIsSeen(t *testing.T) {
	clients := testClients(t, broker{closeAfter: 5}, 3)
	out, err := run(clients, load{window: 4, measure: 20 * time.Millisecond, probe: noProbe})
	if err != nil {
		t.Fatal(err)
	}
	if out.Dropped != 3 {
		t.Errorf("got %d dropped connections, want 3", out.Dropped)
	}
}
