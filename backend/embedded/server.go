package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/internal/sockerr"
)

const (
	defaultStartTimeout = time.Minute
	// Back-end apps may keep small things in memory streams; the hub does not.
	maxMemory = 256 << 20
	// How much may wait for one stream's writer. It must hold all that the
	// publish engine has in flight, or bursts would be refused.
	maxBufferedBytes    = 512 << 20
	maxBufferedMessages = 200_000
)

// Config says how to run the server. DataDir is required.
type Config struct {
	// DataDir is made if missing, readable by its owner only.
	DataDir string
	// Host is the address of the listener. Empty: 127.0.0.1. The listener has
	// no TLS, so another than a loopback address is logged as a warning.
	Host string
	// Port of the listener; 0 takes any free port.
	Port int
	// MaxStore bounds what JetStream keeps on disk, in bytes. 0: three
	// quarters of what is free.
	MaxStore int64
	// SyncAlways makes JetStream sync every write to disk before it
	// acknowledges it: what is acknowledged survives power loss.
	SyncAlways bool
	// SyncInterval is how often writes are synced otherwise. 0: nats-server's
	// default, two minutes. What survives a crash of the process does not
	// depend on it.
	SyncInterval time.Duration
	// Syncs says that [Server.Sync] is to be used. Start fails where it can't keep
	// its promise.
	Syncs bool
	// StartTimeout bounds the recovery of what is on disk. 0: one minute.
	StartTimeout time.Duration
	// Backend is what users of nats/backend.creds may. The zero value: there is
	// no such file. It is the server that knows the rights, not the file: copies
	// of it follow.
	Backend Rights
	// Domain is the name of JetStream here, for those who reach it over a Leaf.
	// Empty: none.
	Domain string
	// Leaf is a link to another NATS. The zero value: none.
	Leaf Leaf
	// Encryption of what JetStream keeps on disk. The zero value: none.
	Encryption Encryption
	// Log gets what nats-server says: notices at debug level, warnings and
	// errors at warn level.
	Log zerolog.Logger
}

// Server is a running nats-server. Its methods are safe for concurrent use.
type Server struct {
	srv     *server.Server
	keys    keyring
	lock    *fileLock
	dir     string
	disk    *disk // nil without Config.Syncs
	gaveUp  <-chan struct{}
	stopped sync.Once
}

// Start runs the server and returns when JetStream has recovered what is on
// disk and accepts connections. Its errors are sentences for an operator that
// say what to do: directory in use, port taken, damaged files, not ready in
// time. On an error nothing is left running.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	dir, err := openDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	s, err := start(ctx, cfg, dir)
	if err != nil {
		return nil, errors.Join(err, dir.lock.release())
	}
	return s, nil
}

func start(ctx context.Context, cfg Config, dir dataDir) (*Server, error) {
	keys, err := loadKeyring(dir.path, cfg.Backend)
	if err != nil {
		return nil, err
	}
	if err := checkPort(ctx, cfg); err != nil {
		return nil, err
	}
	opts, err := options(cfg, dir.path, keys)
	if err != nil {
		return nil, err
	}
	s := &Server{keys: keys, lock: dir.lock, dir: dir.path}
	if cfg.Syncs {
		if err := s.openDisk(); err != nil {
			return nil, err
		}
	}
	if err := s.open(ctx, cfg, opts); err != nil {
		return nil, errors.Join(err, s.closeDisk())
	}
	return s, nil
}

// open makes of a server what it was configured to be, and starts it.
func (s *Server) open(ctx context.Context, cfg Config, opts *server.Options) error {
	if err := cfg.Encryption.check(s.dir, s.accountDir(), cfg.Log); err != nil {
		return err
	}
	if err := dropUnfinished(s.accountDir(), cfg.Log); err != nil {
		return err
	}
	return s.run(ctx, cfg, opts)
}

// openDisk opens the file system of JetStream's files, which need not be that of
// the data directory. That one is synced here, and changes no more: without its
// seeds nobody can read the streams. What an earlier process has written and not
// synced is brought to disk, and what the disk has not taken is forgotten: after
// that JetStream reads what the disk has.
func (s *Server) openDisk() error {
	store := filepath.Join(s.dir, "jetstream")
	if err := os.MkdirAll(store, 0o700); err != nil {
		return fmt.Errorf("make the directory of JetStream: %w", err)
	}
	seeds, err := openDisk(s.dir)
	if err != nil {
		return err
	}
	if err := errors.Join(seeds.sync(), seeds.close()); err != nil {
		return err
	}
	if s.disk, err = openDisk(store); err != nil {
		return err
	}
	if err := errors.Join(s.disk.sync(), s.disk.forget()); err != nil {
		return errors.Join(err, s.closeDisk())
	}
	return nil
}

func (s *Server) closeDisk() error {
	if s.disk == nil {
		return nil
	}
	return s.disk.close()
}

// Sync returns when the disk has all that JetStream had written before the call:
// what it had acknowledged, for it writes to files first. It syncs the whole file
// system of the data directory, and does not depend on the names of JetStream's files.
// After an error what was written since the last call may be lost, and calling
// again does not tell. It needs Syncs of the configuration, and is not to be called
// after Shutdown.
func (s *Server) Sync() error { return s.disk.sync() }

// GaveUp is closed when JetStream could not write to a file, most often because the
// disk is full. What it is of, a stream or a consumer, is not written to any more,
// whatever room there is later, until another server is started.
func (s *Server) GaveUp() <-chan struct{} { return s.gaveUp }

// run starts the server and waits until JetStream answers.
func (s *Server) run(ctx context.Context, cfg Config, opts *server.Options) error {
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("configure the embedded NATS server: %w", err)
	}
	s.srv = srv
	log := newBridge(cfg.Log.With().Str("component", "nats-server").Logger())
	s.gaveUp = log.lost
	srv.SetLogger(log, false, false)

	ctx, cancel := context.WithTimeout(ctx, cfg.StartTimeout)
	defer cancel()
	started := make(chan struct{})
	go func() {
		defer close(started)
		srv.Start()
	}()
	select {
	case <-started:
		if err = s.check(ctx, log); err == nil {
			err = cfg.Encryption.settle(s.dir)
		} else {
			err = cfg.Encryption.doubt(s.dir, err)
		}
	case <-ctx.Done():
		err = s.notReady(ctx, cfg)
	}
	if err != nil {
		srv.Shutdown()
		<-started
		srv.WaitForShutdown()
	}
	return err
}

func (s *Server) notReady(ctx context.Context, cfg Config) error {
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return fmt.Errorf("the start of the embedded NATS server was interrupted: %w", err)
	}
	return fmt.Errorf("JetStream was not ready within %v: it was still recovering %s; allow it more time with nats.wait, or look at the disk", cfg.StartTimeout, filepath.Join(s.dir, "jetstream"))
}

// check tells whether the start that is over was a success.
func (s *Server) check(ctx context.Context, log *bridge) error {
	if text := log.fatal(); text != "" {
		return fmt.Errorf("the embedded NATS server did not start in %s: %s", s.dir, text)
	}
	nc, err := nats.Connect("", s.InProcess(), nats.UserCredentials(s.GatewayCreds()), nats.NoReconnect())
	if err != nil {
		return fmt.Errorf("the embedded NATS server refuses the gateway's own credentials %s: %w; remove that file to have it made again", s.GatewayCreds(), err)
	}
	defer nc.Close()
	return checkRecovered(ctx, nc, s.accountDir(), log)
}

func (s *Server) accountDir() string {
	return filepath.Join(s.dir, "jetstream", s.keys.account)
}

// URL is where back-end apps connect, with the credentials of
// [Server.BackendCreds], and operators with those of [Server.HubCreds].
func (s *Server) URL() string { return s.srv.ClientURL() }

// Port is the port of the listener.
func (s *Server) Port() int {
	if a, ok := s.srv.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// HubCreds is the path of the credentials file of the operator and the CLI.
func (s *Server) HubCreds() string { return filepath.Join(s.dir, "nats", "hub.creds") }

// BackendCreds is the path of the credentials file for back-end apps.
func (s *Server) BackendCreds() string { return filepath.Join(s.dir, "nats", "backend.creds") }

// GatewayCreds is the path of the credentials file of the gateway itself. They
// need [Server.InProcess].
func (s *Server) GatewayCreds() string { return filepath.Join(s.dir, "nats", "gateway.creds") }

// InProcess makes a NATS connection use this server without a socket. The
// credentials are still needed.
func (s *Server) InProcess() nats.Option { return nats.InProcessServer(s.srv) }

// MaxStore is how many bytes JetStream may keep on disk.
func (s *Server) MaxStore() int64 {
	if cfg := s.srv.JetStreamConfig(); cfg != nil {
		return cfg.MaxStore
	}
	return 0
}

// Shutdown stops the server, waits until everything is on disk, and frees the
// data directory. Close the gateway's connections first. Further calls do
// nothing.
func (s *Server) Shutdown() error {
	var err error
	s.stopped.Do(func() {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
		err = errors.Join(s.closeDisk(), s.lock.release())
	})
	return err
}

func (c Config) withDefaults() Config {
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.StartTimeout <= 0 {
		c.StartTimeout = defaultStartTimeout
	}
	return c
}

func options(cfg Config, dir string, keys keyring) (*server.Options, error) {
	operator, resolver, err := keys.claims()
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: "hubgate",
		Host:       cfg.Host,
		Port:       cfg.Port,
		NoSigs:     true,
		NoLog:      true, // its own logger: ours is set later

		TrustedOperators: operator,
		SystemAccount:    keys.system,
		AccountResolver:  resolver,

		JetStream:              true,
		StoreDir:               dir, // nats-server adds "jetstream"
		JetStreamMaxMemory:     maxMemory,
		JetStreamMaxStore:      cfg.MaxStore,
		DisableJetStreamBanner: true,
		SyncAlways:             cfg.SyncAlways,
		SyncInterval:           cfg.SyncInterval,
		StreamMaxBufferedMsgs:  maxBufferedMessages,
		StreamMaxBufferedSize:  maxBufferedBytes,
	}
	if cfg.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	if err := cfg.join(opts, keys.account); err != nil {
		return nil, err
	}
	cfg.Encryption.apply(opts)
	if ip := net.ParseIP(cfg.Host); ip == nil || !ip.IsLoopback() {
		cfg.Log.Warn().Str("host", cfg.Host).Msg("the NATS listener has no TLS and is not on a loopback address")
	}
	return opts, nil
}

// checkPort finds out before anything is started whether the listener can be
// had: nats-server itself would only say so after recovery.
func checkPort(ctx context.Context, cfg Config) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port)))
	if err == nil {
		return l.Close()
	}
	return portFault(cfg, err)
}

// portFault says what keeps the listener from its port.
func portFault(cfg Config, err error) error {
	if sockerr.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d of %s is taken by another program; stop it, or choose another port with --nats-port (0 takes a free one): %w", cfg.Port, cfg.Host, err)
	}
	return fmt.Errorf("listen for NATS clients on port %d of %s (--nats-port): %w", cfg.Port, cfg.Host, err)
}
