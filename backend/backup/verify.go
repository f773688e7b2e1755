package backup

import (
	"io"

	"filippo.io/age"

	"github.com/hubgate/hubgate/hub"
)

// Verify reads a whole backup and reports, as an error, what is wrong with it:
// missing, cut or changed files, what is no backup, and what the identities do
// not decrypt.
func Verify(dir string, identities []age.Identity) (*Manifest, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	if m.Encrypted && len(identities) == 0 {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the backup in %s is encrypted: give the file with the identity that decrypts it by --identity", dir)
	}
	for _, a := range m.Assets {
		if err := whole(dir, a); err != nil {
			return nil, err
		}
		if err := readable(dir, a, identities); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// readable reads a file to its end.
func readable(dir string, a Asset, identities []age.Identity) error {
	f, err := open(dir, a, identities)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if a.Bucket {
		return eachRecord(f, a, func(record) error { return nil })
	}
	if _, err := io.Copy(io.Discard, f); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "the backup is damaged: %s: %w", a.File, err)
	}
	return nil
}
