package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

// TestPrivateKeyAsRecipient: who mixes up the two keys does not have the private one
// printed.
func TestPrivateKeyAsRecipient(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	r := hubgate(t, nil, "backup", "--out", t.TempDir(), "--recipient", identity.String(), "-o", "json")
	if r.code != exitUsage || strings.Contains(r.err+r.out, identity.String()) {
		t.Errorf("got exit code %d and %s", r.code, r.err)
	}
	wantAll(t, r.err, "this is a private key", "age1")
}

// backupOf makes a backup of a new hub with a device.
func backupOf(t *testing.T, flags ...string) string {
	t.Helper()
	data, dir := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	p := startDev(t, data, flags...)
	create(t, data, "device", "d")
	if r := hubgate(t, nil, "backup", "--data-dir", data, "--out", dir); r.code != 0 {
		t.Fatalf("backup: %d %s", r.code, r.err)
	}
	p.stopCleanly(t)
	return dir
}

// TestRestoreToOnePlace: who names two places has neither taken for the other.
func TestRestoreToOnePlace(t *testing.T) {
	t.Parallel()
	dir, data := backupOf(t), filepath.Join(t.TempDir(), "data")
	embedded := write(t, t.TempDir(), "hub.yaml", "nats:\n  embedded: true\n")
	for _, args := range [][]string{{"--embedded"}, {"--config", embedded}} {
		r := hubgate(t, nil, append([]string{"restore", "--in", dir, "--data-dir", data, "--nats", "nats://127.0.0.1:1"}, args...)...)
		if r.code != exitUsage {
			t.Errorf("%q: got exit code %d and %s", args, r.code, r.err)
		}
		wantAll(t, r.err, "not both")
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%q: the data directory has been made", args)
		}
	}
}

// TestRestoreAtTheEdge: nobody at the other end of the link sees a hub of which a
// part is there.
func TestRestoreAtTheEdge(t *testing.T) {
	t.Parallel()
	edge := []string{"--set", "nats.prefix=plant7"}
	dir := backupOf(t, edge...)
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	edge = append(edge, "--set", "nats.leaf.url=nats://"+far.Addr().String())
	r := hubgate(t, nil, append([]string{"restore", "--in", dir, "--embedded", "--data-dir", filepath.Join(t.TempDir(), "data")}, edge...)...)
	if r.code != 0 {
		t.Fatalf("restore: %d %s", r.code, r.err)
	}
	last, err := net.Dial("tcp", far.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = last.Close() }()
	first, err := far.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	if first.RemoteAddr().String() != last.LocalAddr().String() {
		t.Error("the restore has opened the link")
	}
}

// TestVerifyInterrupted: who looks at a backup can end that, however large it is.
func TestVerifyInterrupted(t *testing.T) {
	t.Parallel()
	dir := backupOf(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, more := range []string{"--verify", "--embedded"} {
		var out, errOut lockedBuffer
		data := filepath.Join(t.TempDir(), "data")
		a := &app{env: environment(), out: &out, errOut: &errOut}
		if code := a.run(ctx, []string{"restore", "--in", dir, "--data-dir", data, more}); code != exitFailure || !strings.HasPrefix(errOut.String(), "hubgate: interrupted; ") {
			t.Errorf("%s: got exit code %d and %s%s", more, code, out.String(), errOut.String())
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%s: the data directory has been made", more)
		}
	}
}
