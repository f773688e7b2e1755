package embedded

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// Cipher is what encrypts.
type Cipher string

// The ciphers of nats-server.
const (
	ChaCha Cipher = "chacha"
	AES    Cipher = "aes"
)

// Encryption says how JetStream's files are encrypted.
type Encryption struct {
	// Key is the secret that all keys of streams are derived from. Empty: no
	// encryption.
	Key string
	// KeyName says in messages where Key comes from, such as a file's path.
	KeyName string
	// Cipher is what encrypts. Empty: [ChaCha]. What the other one has written is
	// converted at the start.
	Cipher Cipher
}

// MinKey is how many characters a key needs. No more is done to make guessing
// slow.
const MinKey = 32

func (e Encryption) apply(opts *server.Options) {
	opts.JetStreamKey, opts.JetStreamCipher = e.Key, server.NoCipher
	switch {
	case e.Key == "":
	case e.Cipher == AES:
		opts.JetStreamCipher = server.AES
	default:
		opts.JetStreamCipher = server.ChaCha
	}
}

// check finds out before anything is opened whether the key fits what is on
// disk: nats-server itself would go on without the streams that it can't read.
func (e Encryption) check(dir, accountDir string, log zerolog.Logger) error {
	all, encrypted, err := encryptedStreams(accountDir)
	if err != nil {
		return err
	}
	probe, err := os.ReadFile(probeFile(dir))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("read how the data directory is encrypted: %w", err)
	case e.Key == "" && encrypted > 0:
		return fmt.Errorf("the streams in %s are encrypted, and no key is given: give the key that they were made with, by nats.encryption_key", accountDir)
	case e.Key == "":
		return nil
	case len(e.Key) < MinKey:
		return fmt.Errorf("the encryption key in %s has %d characters, and needs %d: make one with 'openssl rand -base64 32'", e.KeyName, len(e.Key), MinKey)
	case encrypted > 0 && probe != nil && !e.matches(probe):
		return fmt.Errorf("the encryption key in %s is not the one that the streams in %s are encrypted with: put the right one back, for without it nobody can read them", e.KeyName, accountDir)
	case all > encrypted:
		log.Warn().Int("streams", all-encrypted).Msg("encryption is turned on: the streams that are on disk in clear are encrypted now; what the disk may keep of the old files stays in clear, as do backups")
	}
	return nil
}

// Check finds out whether the key fits what a data directory holds, which may be
// in use, and changes nothing.
func (e Encryption) Check(dir string) error {
	accounts, err := filepath.Glob(filepath.Join(dir, "jetstream", "A*"))
	if err != nil || len(accounts) == 0 {
		return e.check(dir, filepath.Join(dir, "jetstream", "none"), zerolog.Nop())
	}
	for _, account := range accounts {
		if err := e.check(dir, account, zerolog.Nop()); err != nil {
			return err
		}
	}
	return nil
}

// settle leaves something by which the right key is known again. The streams
// have been read with the key by then.
func (e Encryption) settle(dir string) error {
	if e.Key == "" {
		return nil
	}
	if probe, err := os.ReadFile(probeFile(dir)); err == nil && e.matches(probe) {
		return nil
	}
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	return writeSecret(probeFile(dir), []byte(hex.EncodeToString(salt)+" "+e.sum(salt)+"\n"))
}

// doubt adds to why streams could not be read that it may be for the key, when
// nothing is there that vouches for it.
func (e Encryption) doubt(dir string, err error) error {
	if _, missing := os.Stat(probeFile(dir)); e.Key == "" || missing == nil {
		return err
	}
	return fmt.Errorf("%w; or put the right encryption key back, if the one in %s is not what they are encrypted with", err, e.KeyName)
}

func probeFile(dir string) string { return filepath.Join(dir, "nats", "encryption") }

func (e Encryption) matches(probe []byte) bool {
	text, sum, ok := strings.Cut(string(bytes.TrimSpace(probe)), " ")
	salt, err := hex.DecodeString(text)
	return ok && err == nil && hmac.Equal([]byte(sum), []byte(e.sum(salt)))
}

func (e Encryption) sum(salt []byte) string {
	h := hmac.New(sha256.New, []byte(e.Key))
	h.Write([]byte("hubgate encryption key "))
	h.Write(salt)
	return hex.EncodeToString(h.Sum(nil))
}

// encryptedStreams counts the streams on disk, and those of them that are
// encrypted.
func encryptedStreams(accountDir string) (all, encrypted int, err error) {
	names, err := streamDirs(accountDir)
	if err != nil {
		return 0, 0, err
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(accountDir, "streams", name, server.JetStreamMetaFileKey)); err == nil {
			encrypted++
		}
	}
	return len(names), encrypted, nil
}
