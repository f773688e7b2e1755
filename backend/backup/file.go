package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"

	"github.com/hubgate/hubgate/hub"
)

// sink is a file of a backup that is being written: encrypted if there is
// somebody to encrypt for, and summed up.
type sink struct {
	io.Writer
	cipher io.Closer // nil: none
	file   *os.File
	sum    hash.Hash
	size   int64
}

// newSink makes a file that must not exist.
func newSink(path string, recipients []age.Recipient) (*sink, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write the backup: %w", err)
	}
	s := &sink{file: f, sum: sha256.New()}
	s.Writer = writerFunc(s.write)
	if len(recipients) == 0 {
		return s, nil
	}
	enc, err := age.Encrypt(s.Writer, recipients...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("encrypt the backup: %w", err), f.Close(), os.Remove(path))
	}
	s.Writer, s.cipher = enc, enc
	return s, nil
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func (s *sink) write(b []byte) (int, error) {
	n, err := s.file.Write(b)
	s.sum.Write(b[:n])
	s.size += int64(n)
	return n, err
}

// finish closes the file, and notes in a what it is.
func (s *sink) finish(a *Asset) error {
	var err error
	if s.cipher != nil {
		err = s.cipher.Close()
	}
	err = errors.Join(err, s.file.Sync(), s.file.Close())
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	a.Size, a.SHA256 = s.size, hex.EncodeToString(s.sum.Sum(nil))
	return nil
}

// opened is a file of a backup that is being read.
type opened struct {
	io.Reader
	file *os.File
}

// Close implements io.Closer.
func (o *opened) Close() error { return o.file.Close() }

// open opens the file of an asset, and decrypts it.
func open(dir string, a Asset, identities []age.Identity) (*opened, error) {
	path := filepath.Join(dir, a.File)
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	o := &opened{file: f, Reader: bufio.NewReaderSize(f, chunkSize)}
	if !isEncrypted(a) {
		return o, nil
	}
	if o.Reader, err = age.Decrypt(o.Reader, identities...); err != nil {
		_ = f.Close()
		return nil, hub.Errorf(hub.Unauthorized, "%s is encrypted, and none of the identities given with --identity decrypts it: %w", path, err)
	}
	return o, nil
}

// whole reports, as an error, that a file is not what the manifest says.
func whole(ctx context.Context, dir string, a Asset) error {
	path := filepath.Join(dir, a.File)
	f, err := os.Open(path)
	if err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "the backup is not whole: %w", err)
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, interruptible(ctx, f))
	if err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	if n != a.Size {
		return hub.Errorf(hub.ArgumentInvalid, "the backup is not whole: %s has %d bytes, and was written with %d", path, n, a.Size)
	}
	if hex.EncodeToString(sum.Sum(nil)) != a.SHA256 {
		return hub.Errorf(hub.ArgumentInvalid, "the backup is damaged: %s is not what was written", path)
	}
	return nil
}
