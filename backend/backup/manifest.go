package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// ManifestFile is what makes a directory a backup. It is written last.
const ManifestFile = "hubgate-backup.json"

// format is the number of this layout. A larger one is of a newer version.
const format = 1

const maxManifest = 64 << 20

// Manifest says what a backup has. It has no secrets.
type Manifest struct {
	Format   int       `json:"format"`
	Hubgate  string    `json:"hubgate"` // version that made it
	Server   string    `json:"natsServer"`
	HostName string    `json:"hostName,omitempty"` // of the hub
	Prefix   string    `json:"prefix"`
	Begun    time.Time `json:"begun"`
	Ended    time.Time `json:"ended"`
	// Encrypted files have been encrypted by age, each for itself.
	Encrypted bool    `json:"encrypted"`
	Assets    []Asset `json:"assets"` // in the order in which they were read
}

// Asset is one stream or bucket.
type Asset struct {
	Stream string `json:"stream"`
	Bucket bool   `json:"bucket,omitempty"`
	File   string `json:"file"`
	Size   int64  `json:"size"`   // of the file
	SHA256 string `json:"sha256"` // of the file
	// Messages are those of the stream; of a bucket, the values and markers.
	Messages uint64 `json:"messages"`
	LastSeq  uint64 `json:"lastSequence"`
	// Config and State are JetStream's own words.
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state,omitempty"`
}

// readManifest reads what a directory has. Its errors are sentences.
func readManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hub.Errorf(hub.ArgumentInvalid, "%s has no %s: it is no backup, or one that was not finished", dir, ManifestFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	if info.Size() > maxManifest {
		return nil, hub.Errorf(hub.ArgumentInvalid, "%s has %d bytes: hubgate has not written it", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, hub.Errorf(hub.ArgumentInvalid, "%s is damaged: %w", path, err)
	}
	return m, m.check(path)
}

func (m *Manifest) check(path string) error {
	if m.Format > format {
		return hub.Errorf(hub.ArgumentInvalid, "%s has the format %d, which a newer hubgate (%s) has written; this one knows %d", path, m.Format, m.Hubgate, format)
	}
	if m.Format < 1 || m.Prefix == "" || len(m.Assets) == 0 {
		return hub.Errorf(hub.ArgumentInvalid, "%s is damaged: it lacks the format, the prefix or all streams", path)
	}
	seen := map[string]bool{}
	for _, a := range m.Assets {
		if !a.plain() || !m.owns(a) || seen[a.Stream] || len(a.Config) == 0 {
			return hub.Errorf(hub.ArgumentInvalid, "%s is damaged: it names the stream %q with the file %q", path, a.Stream, a.File)
		}
		seen[a.Stream] = true
	}
	return nil
}

// owns reports whether a stream is the hub's, and what its name says: a restore that
// fails removes the streams that the manifest names.
func (m *Manifest) owns(a Asset) bool {
	mark := subject.Names{Prefix: m.Prefix}.RestoreStream()
	return of(a.Stream, m.Prefix) && a.Bucket == isBucket(a.Stream) && a.Stream != mark
}

// plain reports whether the names are such that they lead nowhere else.
func (a Asset) plain() bool {
	return a.Stream != "" && !strings.ContainsAny(a.Stream, `/\.*> `) && a.File != "." && filepath.IsLocal(a.File) && a.File == filepath.Base(a.File)
}

// write stores the manifest whole or not at all.
func (m *Manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", ManifestFile, err)
	}
	f, err := os.CreateTemp(dir, ".manifest-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", ManifestFile, err)
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, ManifestFile))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", ManifestFile, err)
	}
	return syncDir(dir)
}

// syncDir makes the names in a directory survive a loss of power, where a
// system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	_ = d.Sync() // not on every system
	return d.Close()
}
