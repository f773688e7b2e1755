package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SyncFiles returns when the disk has the data directory as it is. It is for what is
// written at once, of which nothing is acknowledged before: JetStream leaves the files of
// a new stream to the operating system.
func (s *Server) SyncFiles() error {
	// The second one may be a link to elsewhere.
	for _, root := range []string{s.dir, filepath.Join(s.dir, "jetstream")} {
		if err := syncTree(root); err != nil {
			return fmt.Errorf("have the disk store %s: %w", root, err)
		}
	}
	return nil
}

// syncTree syncs all files of a directory, and their names.
func syncTree(root string) error {
	root, err := filepath.EvalSymlinks(root) // a walk does not follow it
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
		case e.IsDir():
			err = syncDir(path)
		case e.Type().IsRegular():
			err = syncFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed meanwhile
		}
		return err
	})
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = d.Sync() // not on every system
	return d.Close()
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
