//go:build linux

package main

import (
	"bufio"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSchedule: a seed is one schedule, another seed another one, and nothing
// is left out.
func TestSchedule(t *testing.T) {
	for name, of := range map[string]func(uint64) []step{"short": shortSchedule, "long": longSchedule} {
		if !reflect.DeepEqual(of(7), of(7)) {
			t.Errorf("%s: seed 7 gives two schedules", name)
		}
		if reflect.DeepEqual(of(7), of(8)) {
			t.Errorf("%s: the seed is not looked at", name)
		}
		want := shortKinds()
		if name == "long" {
			want = kinds()
		}
		var got []string
		for _, s := range of(7)[:len(want)] {
			got = append(got, s.kind)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: one round is %v, want %v", name, got, want)
		}
	}
}

// TestBook: what the checker makes of a stream.
func TestBook(t *testing.T) {
	for name, tt := range map[string]struct {
		stream    []int
		misplaced []int
		early     int
	}{
		"in order":           {[]int{0, 1, 2, 3}, nil, 0},
		"repeated":           {[]int{0, 1, 0, 1, 2, 3}, nil, 0},
		"early, and again":   {[]int{0, 2, 1, 2, 3}, nil, 1},
		"early, not again":   {[]int{0, 2, 1, 3}, []int{2}, 1},
		"lost":               {[]int{0, 2, 3}, nil, 0},
		"late from a node":   {[]int{0, 1, 2, 3, 1, 2}, nil, 0},
		"backwards":          {[]int{3, 2, 1, 0}, []int{1, 2, 3}, 3},
		"nothing was stored": {nil, nil, 0},
	} {
		b := newBook(4)
		for _, n := range tt.stream {
			b.enter(n)
		}
		if got := b.misplaced(); !slices.Equal(got, tt.misplaced) || b.early != tt.early {
			t.Errorf("%s: got %v misplaced and %d early, want %v and %d", name, got, b.early, tt.misplaced, tt.early)
		}
	}
}

// echo is a server that answers each line by name and line.
func echo(t *testing.T, name string) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						_ = c.Close()
						return
					}
					_, _ = io.WriteString(c, name+" "+line)
				}
			}()
		}
	}()
	return ln
}

// talk asks over a connection; it returns what comes within the limit.
func talk(t *testing.T, c net.Conn, line string, limit time.Duration) string {
	t.Helper()
	_, _ = io.WriteString(c, line+"\n")
	return listen(c, limit)
}

func listen(c net.Conn, limit time.Duration) string {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	b := make([]byte, 100)
	n, _ := c.Read(b)
	return strings.TrimSpace(string(b[:n]))
}

func dialTo(t *testing.T, addr string) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestRelay: nothing passes while it is shut, nothing is closed, and nothing is
// lost when it opens.
func TestRelay(t *testing.T) {
	r, err := newRelay("127.0.0.1:0", echo(t, "a").Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	c := dialTo(t, r.ln.Addr().String())
	if got := talk(t, c, "1", patience); got != "a 1" {
		t.Fatalf("got %q", got)
	}
	r.shut()
	if got := talk(t, c, "2", 200*time.Millisecond); got != "" {
		t.Errorf("%q has passed", got)
	}
	late := dialTo(t, r.ln.Addr().String())
	if got := talk(t, late, "3", 200*time.Millisecond); got != "" {
		t.Errorf("%q has passed", got)
	}
	r.heal()
	for conn, want := range map[net.Conn]string{c: "a 2", late: "a 3"} {
		if got := listen(conn, patience); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestBalancer: the nodes take turns, one that is down is passed over, and a cut
// ends all connections.
func TestBalancer(t *testing.T) {
	down := echo(t, "down")
	_ = down.Close()
	b, err := newBalancer("127.0.0.1:0", []string{echo(t, "a").Addr().String(), down.Addr().String(), echo(t, "c").Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	var got []string
	for range 4 {
		c := dialTo(t, b.addr())
		got = append(got, talk(t, c, "x", patience))
		node, remote, found := b.find(c.LocalAddr().String())
		if !found || remote == "" || !strings.HasPrefix(got[len(got)-1], string("a-c"[node])) {
			t.Errorf("found %v: node %d, %q, and got %q", found, node, remote, got[len(got)-1])
		}
	}
	if want := []string{"a x", "c x", "a x", "c x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	c := dialTo(t, b.addr())
	_ = talk(t, c, "x", patience)
	b.cut()
	if got := talk(t, c, "y", patience); got != "" {
		t.Errorf("got %q over a connection that was reset", got)
	}
}
