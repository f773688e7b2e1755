package embedded_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend/embedded"
)

func backendRights() embedded.Rights {
	return embedded.Rights{Publish: []string{"may.publish"}, Subscribe: []string{"may.subscribe"}}
}

// verdict is what NATS says of one operation: nil, or the refusal.
func verdict(t *testing.T, s *embedded.Server, creds string, do func(*nats.Conn) error) error {
	t.Helper()
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(creds), nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(do(nc), nc.FlushTimeout(20*time.Second)); err != nil {
		t.Fatal(err)
	}
	return nc.LastError() // the refusal comes before the answer to the flush
}

func publish(subject string) func(*nats.Conn) error {
	return func(nc *nats.Conn) error { return nc.Publish(subject, nil) }
}

func subscribe(subject string) func(*nats.Conn) error {
	return func(nc *nats.Conn) error {
		_, err := nc.SubscribeSync(subject)
		return err
	}
}

// TestBackendHasItsRights: those of the server, also with a file that is older
// than the rights.
func TestBackendHasItsRights(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir, Backend: backendRights()})
	creds := s.BackendCreds()
	for _, subject := range []string{"other", "$SYS.REQ.SERVER.PING", "$JS.API.INFO", "$JS.API.STREAM.NAMES"} {
		if err := verdict(t, s, creds, publish(subject)); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("publish on %s: %v", subject, err)
		}
	}
	for _, subject := range []string{"other", ">", "_INBOX.>", "$SYS.>"} {
		if err := verdict(t, s, creds, subscribe(subject)); !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("subscribe to %s: %v", subject, err)
		}
	}
	if err := verdict(t, s, creds, publish("may.publish")); err != nil {
		t.Error(err)
	}
	if err := verdict(t, s, creds, subscribe("may.subscribe")); err != nil {
		t.Error(err)
	}
	old, err := os.ReadFile(creds)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	s = start(t, embedded.Config{DataDir: dir, Backend: embedded.Rights{Publish: []string{"new"}, Subscribe: []string{"new"}}})
	if again, err := os.ReadFile(creds); err != nil || !bytes.Equal(again, old) {
		t.Errorf("the file has changed, %v", err)
	}
	if err := verdict(t, s, creds, publish("new")); err != nil {
		t.Error(err)
	}
	if err := verdict(t, s, creds, publish("may.publish")); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("the old right is still there: %v", err)
	}
}

// TestBackendIsRevoked: without seed and file, copies of the file are worth
// nothing.
func TestBackendIsRevoked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir, Backend: backendRights()})
	stolen := filepath.Join(t.TempDir(), "stolen.creds")
	content, err := os.ReadFile(s.BackendCreds())
	if err == nil {
		err = os.WriteFile(stolen, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	for _, name := range []string{"backend.nk", "backend.creds"} {
		if err := os.Remove(filepath.Join(dir, "nats", name)); err != nil {
			t.Fatal(err)
		}
	}
	s = start(t, embedded.Config{DataDir: dir, Backend: backendRights()})
	if nc, err := nats.Connect(s.URL(), nats.UserCredentials(stolen), nats.NoReconnect()); !errors.Is(err, nats.ErrAuthorization) {
		nc.Close()
		t.Errorf("the stolen file is let in: %v", err)
	}
	if err := verdict(t, s, s.BackendCreds(), publish("may.publish")); err != nil {
		t.Error(err)
	}
}

// TestGatewayCredsAreLocal: they let nobody in by the listener.
func TestGatewayCredsAreLocal(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{DataDir: t.TempDir()})
	if nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.GatewayCreds()), nats.NoReconnect()); !errors.Is(err, nats.ErrAuthorization) {
		nc.Close()
		t.Errorf("the gateway's credentials are let in by the listener: %v", err)
	}
	nc, err := nats.Connect("", s.InProcess(), nats.UserCredentials(s.GatewayCreds()), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

// TestListenerOnAllAddressesNeedsCredentials: nothing opens it, wherever it
// listens.
func TestListenerOnAllAddressesNeedsCredentials(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{DataDir: t.TempDir(), Host: "0.0.0.0"})
	for name, opts := range map[string][]nats.Option{
		"nothing": nil, "a user": {nats.UserInfo("hub", "hub")}, "a token": {nats.Token("hub")},
	} {
		if nc, err := nats.Connect(s.URL(), append(opts, nats.NoReconnect())...); !errors.Is(err, nats.ErrAuthorization) {
			nc.Close()
			t.Errorf("let in with %s: %v", name, err)
		}
	}
}

// TestGatewayCredsOfBefore: a file that let its holder in from everywhere is
// made again.
func TestGatewayCredsOfBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir})
	old, err := os.ReadFile(s.HubCreds()) // as the gateway's were: of the account, without limits
	stop(t, s)
	if err == nil {
		err = os.WriteFile(s.GatewayCreds(), old, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, embedded.Config{DataDir: dir})
	if nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.GatewayCreds()), nats.NoReconnect()); !errors.Is(err, nats.ErrAuthorization) {
		nc.Close()
		t.Errorf("the gateway's credentials are still let in by the listener: %v", err)
	}
}

// TestOperatorIsNoSystem: the operator of a hub has no way to the server's own
// account.
func TestOperatorIsNoSystem(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{DataDir: t.TempDir()})
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, subject := range []string{"$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.LIST", "$SYS.ACCOUNT.x.CONNECT"} {
		if m, err := nc.Request(subject, nil, 20*time.Second); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("%s: got %v, %v", subject, m, err)
		}
	}
}
