package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/hubgate/hubgate/hub"
)

// Options say how to make a backup.
type Options struct {
	// Dir is made, or is there and empty.
	Dir string
	// Recipients are who can read it. None: everybody who has the files, and
	// they hold the keys of all devices.
	Recipients []age.Recipient
	// Skip says which streams are left out; nil: none.
	Skip func(stream string) bool
	// Version of the program, and HostName of the hub.
	Version, HostName string
	// Done is called for each stream when it is written; may be nil.
	Done func(Asset)
}

// Write makes a backup of a hub that may be running. It holds all that the hub
// had acknowledged when Write was called, and some of what came meanwhile. On
// an error nothing is left of it.
func (a Account) Write(ctx context.Context, o Options) (*Manifest, error) {
	streams, err := a.toCopy(ctx, o.Skip)
	if err != nil {
		return nil, err
	}
	dir, err := newPlace(o.Dir)
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Format: format, Hubgate: o.Version, Server: a.Conn.ConnectedServerVersion(), HostName: o.HostName,
		Prefix: a.prefix(), Begun: time.Now().UTC(), Encrypted: len(o.Recipients) > 0,
	}
	for _, stream := range streams {
		asset, err := a.copyOut(ctx, stream, o)
		if asset.File != "" {
			dir.files = append(dir.files, asset.File)
		}
		if err != nil {
			return nil, errors.Join(err, dir.discard())
		}
		m.Assets = append(m.Assets, asset)
		if o.Done != nil {
			o.Done(asset)
		}
	}
	m.Ended = time.Now().UTC()
	dir.files = append(dir.files, ManifestFile)
	if err := m.write(o.Dir); err != nil {
		return nil, errors.Join(err, dir.discard())
	}
	return m, nil
}

// toCopy lists the streams in the order in which they are copied.
func (a Account) toCopy(ctx context.Context, skip func(string) bool) ([]string, error) {
	all, err := a.streams(ctx)
	if err != nil {
		return nil, err
	}
	devices := bucketPrefix + a.names().DeviceBucket()
	var wanted []string
	found := false
	for _, stream := range all {
		if stream == a.names().RestoreStream() {
			return nil, hub.Errorf(hub.ServiceUnavailable, "a restore of this hub has begun and is not finished: what is there is not whole")
		}
		found = found || stream == devices
		if !a.passing(stream) && (skip == nil || !skip(stream)) {
			wanted = append(wanted, stream)
		}
	}
	if !found {
		return nil, hub.Errorf(hub.NotFound, "there is no bucket %s: is the prefix %q right, and the account?", a.names().DeviceBucket(), a.prefix())
	}
	return order(wanted, a.names()), nil
}

// copyOut writes the file of one stream. The asset names a file if it was made.
func (a Account) copyOut(ctx context.Context, stream string, o Options) (Asset, error) {
	asset := Asset{Stream: stream, Bucket: isBucket(stream)}
	asset.File = fileOf(asset, o.Recipients)
	s, err := newSink(filepath.Join(o.Dir, asset.File), o.Recipients)
	if err != nil {
		return Asset{}, err
	}
	if asset.Bucket {
		err = a.copyBucket(ctx, &asset, s)
	} else {
		err = a.snapshot(ctx, &asset, s)
	}
	return asset, errors.Join(err, s.finish(&asset))
}

func (a Account) copyBucket(ctx context.Context, asset *Asset, s *sink) error {
	w, err := newRecordWriter(s)
	if err != nil {
		return err
	}
	return errors.Join(a.dump(ctx, asset, w), w.close())
}

const encryptedSuffix = ".age"

// fileOf names the file of an asset.
func fileOf(asset Asset, recipients []age.Recipient) string {
	name := asset.Stream + ".snapshot"
	if asset.Bucket {
		name = asset.Stream + ".jsonl.gz"
	}
	if len(recipients) > 0 {
		name += encryptedSuffix
	}
	return name
}

func isEncrypted(asset Asset) bool { return strings.HasSuffix(asset.File, encryptedSuffix) }

// place is the directory of a backup that is being written.
type place struct {
	dir   string
	made  bool     // by us
	files []string // that are ours
}

// newPlace makes the directory, or finds it empty.
func newPlace(dir string) (place, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return place{}, fmt.Errorf("make the directory of the backup: %w", err)
		}
		return place{dir: dir, made: true}, nil
	}
	if err != nil {
		return place{}, fmt.Errorf("look into the directory of the backup: %w", err)
	}
	if len(entries) > 0 {
		return place{}, hub.Errorf(hub.ArgumentInvalid, "%s is not empty (it has %s): each backup needs a directory of its own", dir, entries[0].Name())
	}
	return place{dir: dir}, nil
}

// discard removes what was written. What others have put there meanwhile stays.
func (p place) discard() error {
	var errs []error
	for _, name := range p.files {
		if err := os.Remove(filepath.Join(p.dir, name)); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if left, err := os.ReadDir(p.dir); p.made && err == nil && len(left) == 0 {
		errs = append(errs, os.Remove(p.dir))
	}
	return errors.Join(errs...)
}
