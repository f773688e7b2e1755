package backend

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// seed makes a user, writes its seed to a file and returns its public key.
func seed(t *testing.T, path string) string {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := pair.Seed()
	if err == nil {
		err = os.WriteFile(path, secret, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return must(pair.PublicKey())
}

// A user of NATS who is replaced while a node runs: the connection that was closed with
// the old one comes back as the new one, as soon as its seed is in the file.
func TestSeedThatIsReplaced(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "user.seed")
	users := func() []*server.NkeyUser { return []*server.NkeyUser{{Nkey: seed(t, file)}} }
	o := server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), Nkeys: users()}
	s := alone(t, &o)
	b := must(Connect(testContext(t), Config{URL: s.ClientURL(), NKeySeedFile: file}))
	t.Cleanup(func() { shut(b) })
	was := b.Conn().Stats().Reconnects

	next := o
	next.Port = s.Addr().(*net.TCPAddr).Port
	next.Nkeys = users()
	if err := s.ReloadOptions(&next); err != nil {
		t.Fatal(err)
	}
	until(t, "the connection is back", func() bool { return b.Conn().Stats().Reconnects > was && b.Conn().IsConnected() })
	until(t, "the fleet's is back", b.Fleet().nc.IsConnected)
	if _, err := b.JetStream().AccountInfo(testContext(t)); err != nil {
		t.Errorf("a request: %v", err)
	}
}
