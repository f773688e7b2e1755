package embedded

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestSyncTree: a link to a directory is followed, and one that is not there is told of.
func TestSyncTree(t *testing.T) {
	real, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.Mkdir(filepath.Join(real, "dir"), 0o700), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(real, "dir", "1.blk"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syncTree(link); err != nil {
		t.Error(err)
	}
	if err := syncTree(filepath.Join(real, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v, want that there is none", err)
	}
}
