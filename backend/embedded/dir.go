package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"
)

// dataDir is a data directory that belongs to this process.
type dataDir struct {
	path string
	lock *fileLock
}

func openDir(path string) (dataDir, error) {
	if path == "" {
		return dataDir{}, errors.New("no data directory is given; say where state shall live with --data-dir")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return dataDir{}, fmt.Errorf("find the data directory %s: %w", path, err)
	}
	for _, dir := range []string{path, filepath.Join(path, "nats")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return dataDir{}, fmt.Errorf("make the data directory: %w; choose one that this user can write with --data-dir", err)
		}
	}
	lock, err := acquire(filepath.Join(path, "lock"))
	if errors.Is(err, errLocked) {
		return dataDir{}, fmt.Errorf("the data directory %s is in use by another hubgate process%s; stop that one, or choose another directory with --data-dir", path, holder(path))
	}
	if err != nil {
		return dataDir{}, fmt.Errorf("lock the data directory %s: %w; make it a file that this user can write, or choose another directory with --data-dir", path, err)
	}
	return dataDir{path: path, lock: lock}, nil
}

// holder names the process that holds the lock, as far as it is known.
func holder(dir string) string {
	pid, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil || len(pid) == 0 || len(pid) > 16 {
		return ""
	}
	return " (pid " + string(pid) + ")"
}

// foreignAccounts lists the accounts whose streams are in the data directory,
// other than account: without their seeds nobody can reach them any more.
func foreignAccounts(dir, account string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "jetstream"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the data directory: %w; put it back from a backup, or choose another directory with --data-dir", err)
	}
	var found []string
	for _, e := range entries {
		if e.Name() != account && nkeys.IsValidPublicAccountKey(e.Name()) {
			found = append(found, e.Name())
		}
	}
	return found, nil
}
