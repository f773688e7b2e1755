package backup

import (
	"cmp"
	"context"
	"io"

	"filippo.io/age"

	"github.com/hubgate/hubgate/hub"
)

// Verify reads a whole backup and reports, as an error, what is wrong with it:
// missing, cut or changed files, what is no backup, and what the identities do
// not decrypt. It ends with ctx.
func Verify(ctx context.Context, dir string, identities []age.Identity) (*Manifest, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	if m.Encrypted && len(identities) == 0 {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the backup in %s is encrypted: give the file with the identity that decrypts it by --identity", dir)
	}
	for _, a := range m.Assets {
		if err := whole(ctx, dir, a); err != nil {
			return nil, err
		}
		if err := readable(ctx, dir, a, identities); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// readable reads a file to its end.
func readable(ctx context.Context, dir string, a Asset, identities []age.Identity) error {
	f, err := open(dir, a, identities)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r := interruptible(ctx, f)
	if a.Bucket {
		err := eachRecord(r, a, func(record) error { return nil })
		return cmp.Or(ctx.Err(), err)
	}
	if _, err := io.Copy(io.Discard, r); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "the backup is damaged: %s: %w", a.File, err)
	}
	return nil
}

// interruptible is r until ctx ends.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(b)
	})
}

type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
