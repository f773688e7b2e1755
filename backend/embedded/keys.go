package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// keyring holds the seeds that make this server's accounts and users: an
// operator, the system account and the account of the hub.
type keyring struct {
	operatorKey nkeys.KeyPair
	systemKey   nkeys.KeyPair
	accountKey  nkeys.KeyPair
	backendKey  nkeys.KeyPair // nil: no user for back-end apps
	backend     Rights
	system      string // public key of the system account
	account     string // public key of the hub's account
}

// loadKeyring reads the seeds and credentials files under dir/nats and makes
// those that are missing.
func loadKeyring(dir string, backend Rights) (keyring, error) {
	k := keyring{backend: backend}
	var err error
	if err := refuseOrphans(dir); err != nil {
		return k, err
	}
	if k.operatorKey, err = loadSeed(seedFile(dir, "operator"), nkeys.PrefixByteOperator); err != nil {
		return k, err
	}
	if k.systemKey, err = loadSeed(seedFile(dir, "system"), nkeys.PrefixByteAccount); err != nil {
		return k, err
	}
	if k.accountKey, err = loadSeed(seedFile(dir, "hub"), nkeys.PrefixByteAccount); err != nil {
		return k, err
	}
	if k.system, err = k.systemKey.PublicKey(); err != nil {
		return k, fmt.Errorf("derive the system account: %w", err)
	}
	if k.account, err = k.accountKey.PublicKey(); err != nil {
		return k, fmt.Errorf("derive the hub account: %w", err)
	}
	if err := refuseForeign(dir, k.account); err != nil {
		return k, err
	}
	if backend.isSet() {
		if k.backendKey, err = loadSeed(seedFile(dir, "backend"), nkeys.PrefixByteAccount); err != nil {
			return k, err
		}
	}
	return k, k.ensureUsers(dir)
}

func seedFile(dir, name string) string { return filepath.Join(dir, "nats", name+".nk") }

// refuseOrphans refuses to make a new account next to the streams of one whose
// seed is gone: the hub would come up empty.
func refuseOrphans(dir string) error {
	if _, err := os.Stat(seedFile(dir, "hub")); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return refuseForeign(dir, "")
}

func refuseForeign(dir, account string) error {
	found, err := foreignAccounts(dir, account)
	if err != nil || len(found) == 0 {
		return err
	}
	return fmt.Errorf("%s has the streams of account %s, but %s is not its seed; put the right seed back from a backup, or move that directory away to begin empty",
		filepath.Join(dir, "jetstream"), found[0], seedFile(dir, "hub"))
}

// loadSeed reads a seed file, or makes one.
func loadSeed(path string, kind nkeys.PrefixByte) (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newSeed(path, kind)
	}
	if err != nil {
		return nil, fmt.Errorf("read NATS seed: %w", err)
	}
	pair, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return nil, damagedSeed(path)
	}
	if prefix, _, err := nkeys.DecodeSeed(bytes.TrimSpace(seed)); err != nil || prefix != kind {
		return nil, damagedSeed(path)
	}
	return pair, nil
}

func damagedSeed(path string) error {
	return fmt.Errorf("%s is not a NATS seed of its kind; put it back from a backup: the streams in this data directory belong to it", path)
}

func newSeed(path string, kind nkeys.PrefixByte) (nkeys.KeyPair, error) {
	pair, err := nkeys.CreatePair(kind)
	if err != nil {
		return nil, fmt.Errorf("make NATS seed: %w", err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, fmt.Errorf("make NATS seed: %w", err)
	}
	return pair, writeSecret(path, seed)
}

// writeSecret makes the file whole or not at all, readable by its owner only.
func writeSecret(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// claims signs who may use the server. It is done at every start: only the
// seeds are kept.
func (k keyring) claims() ([]*jwt.OperatorClaims, server.AccountResolver, error) {
	operatorPublic, err := k.operatorKey.PublicKey()
	if err != nil {
		return nil, nil, fmt.Errorf("derive the operator: %w", err)
	}
	operator := jwt.NewOperatorClaims(operatorPublic)
	operator.Name = "hubgate"
	operator.SystemAccount = k.system
	signed, err := operator.Encode(k.operatorKey)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the operator: %w", err)
	}
	if operator, err = jwt.DecodeOperatorClaims(signed); err != nil {
		return nil, nil, fmt.Errorf("read the operator: %w", err)
	}
	resolver := &server.MemAccResolver{}
	hub := jwt.NewAccountClaims(k.account)
	hub.Name = "HUB"
	hub.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit,
	}
	k.scope(hub)
	system := jwt.NewAccountClaims(k.system)
	system.Name = "SYS"
	return []*jwt.OperatorClaims{operator}, resolver, errors.Join(k.preload(resolver, hub), k.preload(resolver, system))
}

func (k keyring) preload(r *server.MemAccResolver, c *jwt.AccountClaims) error {
	signed, err := c.Encode(k.operatorKey)
	if err != nil {
		return fmt.Errorf("sign the account %s: %w", strings.ToLower(c.Name), err)
	}
	return r.Store(c.Subject, signed)
}
