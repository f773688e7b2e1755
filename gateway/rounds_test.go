//go:build unix

package gateway

import (
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// TestRounds: a socket that has something to read is read soon, however busy the
// others are. It counts rounds; how long they take does not matter.
func TestRounds(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	out, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan error)
	go func() {
		var b [1]byte
		for {
			_, err := io.ReadFull(in, b[:])
			read <- err
			if err != nil {
				return
			}
		}
	}()
	everybody := newRounds()
	var over atomic.Bool
	var rounds atomic.Int64
	var hogs sync.WaitGroup
	for range 3 {
		hogs.Go(func() {
			for !over.Load() {
				for range packetsPerTurn {
					runtime.Gosched() // there is always somebody who can run
				}
				everybody.wait()
				rounds.Add(1)
			}
		})
	}
	const exchanges = 50
	for range exchanges {
		if _, err := out.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if err := <-read; err != nil {
			t.Fatal(err)
		}
	}
	if n := rounds.Load(); n > 20*exchanges {
		t.Errorf("%d bytes were read in %d rounds", exchanges, n)
	}
	over.Store(true)
	hogs.Wait()
	_ = in.Close()
	<-read
}
