package embedded_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/embedded"
)

const deviceKey = "c2VjcmV0IGtleSBvZiBhIGRldmljZQ=="

func encrypted(cipher embedded.Cipher) embedded.Encryption {
	return embedded.Encryption{Key: strings.Repeat("k3", 16), KeyName: "/run/key", Cipher: cipher}
}

// putKey writes a device's key into a bucket, as often as it takes to have more
// than one version on disk.
func putKey(t *testing.T, s *embedded.Server) {
	t.Helper()
	js := connect(t, "", s.InProcess(), nats.UserCredentials(s.GatewayCreds()))
	kv, err := js.CreateKeyValue(testContext(t), jetstream.KeyValueConfig{Bucket: "devices", History: 5})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := kv.Put(testContext(t), "dev1", []byte(`{"primaryKey":"`+deviceKey+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
}

func hasKey(t *testing.T, s *embedded.Server) {
	t.Helper()
	js := connect(t, "", s.InProcess(), nats.UserCredentials(s.GatewayCreds()))
	kv, err := js.KeyValue(testContext(t), "devices")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(testContext(t), "dev1")
	if err != nil || !bytes.Contains(e.Value(), []byte(deviceKey)) {
		t.Fatalf("the key is gone: %v", err)
	}
}

// filesWith returns the files below dir that hold text.
func filesWith(t *testing.T, dir, text string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEncryption(t *testing.T) {
	t.Parallel()
	for _, cipher := range []embedded.Cipher{"", embedded.ChaCha, embedded.AES} {
		t.Run(string(cipher), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := embedded.Config{DataDir: dir, Encryption: encrypted(cipher)}
			s := start(t, cfg)
			putKey(t, s)
			stop(t, s)
			for _, text := range []string{deviceKey, "primaryKey", cfg.Encryption.Key} {
				if found := filesWith(t, dir, text); len(found) > 0 {
					t.Errorf("%q is in clear in %v", text, found)
				}
			}
			s = start(t, cfg)
			hasKey(t, s)
			stop(t, s)
			wrong := cfg
			wrong.Encryption.Key = strings.Repeat("x", embedded.MinKey)
			refused(t, wrong, "the encryption key in /run/key is not the one", "put the right one back")
			wrong.Encryption = embedded.Encryption{}
			refused(t, wrong, "are encrypted, and no key is given", "nats.encryption_key")
			s = start(t, cfg) // none of that has harmed it
			hasKey(t, s)
		})
	}
}

// TestEncryptionKeyWithoutProbe: the file by which the key is known is lost.
func TestEncryptionKeyWithoutProbe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := embedded.Config{DataDir: dir, Encryption: encrypted("")}
	s := start(t, cfg)
	putKey(t, s)
	stop(t, s)
	probe := filepath.Join(dir, "nats", "encryption")
	if err := os.Remove(probe); err != nil {
		t.Fatal(err)
	}
	wrong := cfg
	wrong.Encryption.Key = strings.Repeat("x", embedded.MinKey)
	refused(t, wrong, "can't read the stream", "KV_devices", "right encryption key", "/run/key")
	if _, err := os.Stat(probe); err == nil {
		t.Error("the wrong key is taken for the right one from now on")
	}
	s = start(t, cfg)
	hasKey(t, s)
	if _, err := os.Stat(probe); err != nil {
		t.Error(err)
	}
}

// TestEncryptionTurnedOn: what is there in clear is converted, with all it
// holds, and so is the other way of encrypting.
func TestEncryptionTurnedOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir})
	putKey(t, s)
	stop(t, s)
	if found := filesWith(t, dir, deviceKey); len(found) == 0 {
		t.Fatal("the key is not found where it must be: this test can't fail")
	}
	for _, cipher := range []embedded.Cipher{embedded.ChaCha, embedded.AES} {
		s = start(t, embedded.Config{DataDir: dir, Encryption: encrypted(cipher)})
		hasKey(t, s)
		stop(t, s)
		if found := filesWith(t, dir, deviceKey); len(found) > 0 {
			t.Errorf("%s: the key is still in clear in %v", cipher, found)
		}
	}
	s = start(t, embedded.Config{DataDir: dir, Encryption: encrypted("")})
	hasKey(t, s)
}

func TestShortEncryptionKey(t *testing.T) {
	t.Parallel()
	refused(t, embedded.Config{DataDir: t.TempDir(), Encryption: embedded.Encryption{Key: "short", KeyName: "/run/key"}},
		"/run/key has 5 characters", "openssl rand")
}
