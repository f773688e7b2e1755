//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

const natsReady = 20 * time.Second

// child is the bench started by itself as one of the references, so that each
// is a process whose CPU and memory can be read and which can be pinned.
func child(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	kind, args := args[0], args[1:]
	switch {
	case kind == "nats" && len(args) == 4:
		return childNATS(ctx, args[0], args[1] == "tls", args[2], args[3])
	case kind == "tlsd" && len(args) == 2:
		return childTLSD(ctx, args[0], args[1])
	case kind == "store" && len(args) == 2:
		return childStore(ctx, args[0], args[1])
	case kind == "raw" && len(args) == 1:
		return childRaw(ctx, args[0])
	case kind == "bare" && len(args) == 1:
		return childBare(ctx, args[0])
	}
	return fmt.Errorf("unknown child %q", kind)
}

// childNATS serves MQTT by nats-server, messages in file storage below dir.
func childNATS(ctx context.Context, dir string, secure bool, certFile, keyFile string) error {
	opts := natsOptions(dir)
	opts.DontListen = false
	opts.Host, opts.Port = "127.0.0.1", natsserver.RANDOM_PORT
	opts.MQTT = natsserver.MQTTOpts{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, MaxAckPending: drainWindow}
	if secure {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return fmt.Errorf("load certificate: %w", err)
		}
		opts.MQTT.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		opts.MQTT.TLSTimeout = dialTimeout.Seconds()
	}
	s, err := startNATS(opts)
	if err != nil {
		return err
	}
	defer s.WaitForShutdown()
	defer s.Shutdown()
	client, err := url.Parse(s.ClientURL())
	if err != nil {
		return fmt.Errorf("parse client url: %w", err)
	}
	if err := announce(ready{MQTT: fmt.Sprintf("127.0.0.1:%d", opts.MQTT.Port), NATS: client.String()}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// natsOptions are the settings that every embedded reference shares.
func natsOptions(dir string) *natsserver.Options {
	return &natsserver.Options{
		ServerName: "bench", JetStream: true, StoreDir: dir,
		DontListen: true, NoSigs: true, NoLog: true,
		JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 64 << 30,
	}
}

func startNATS(opts *natsserver.Options) (*natsserver.Server, error) {
	s, err := natsserver.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("configure nats-server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(natsReady) {
		s.Shutdown()
		return nil, errors.New("nats-server did not become ready")
	}
	return s, nil
}

// childTLSD accepts TLS and answers each CONNECT with a CONNACK: the least that
// a Go server can spend on a connect.
func childTLSD(ctx context.Context, certFile, keyFile string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("load certificate: %w", err)
	}
	l, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	context.AfterFunc(ctx, func() { l.Close() })
	if err := announce(ready{MQTT: l.Addr().String()}); err != nil {
		return err
	}
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err == nil {
			go answerConnect(conn)
		}
	}
}

func answerConnect(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 4096)
	var got []byte
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		got = append(got, buf[:n]...)
		size, err := frame(got)
		if err != nil || bytes.HasPrefix(got, []byte{typeDisconnect}) {
			return
		}
		if size == 0 {
			continue
		}
		if _, err := conn.Write([]byte{typeConnack, 2, 0, 0}); err != nil {
			return
		}
		got = got[size:]
	}
}

// announce prints the line that the parent waits for.
func announce(v any) error {
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	return nil
}
