package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKernelsThatTellOfLostWrites(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]bool{
		"5.8.0": true, "5.8-rc1": true, "5.10.0-21-amd64": true, "6.1": true, "6.18.44-fc-v669": true, "10.0.1": true,
		"5.7.19": false, "4.18.0-553.el8_10.x86_64": false, "3.10": false, "": false, "5": false, "an unknown version": false,
	} {
		if got := isHonest(release); got != want {
			t.Errorf("isHonest(%q) = %v", release, got)
		}
	}
	if release := kernel(); !strings.Contains(release, ".") {
		t.Errorf("this kernel is %q", release)
	}
}

func TestHollowFileSystems(t *testing.T) {
	t.Parallel()
	for kind, want := range map[int64]string{
		unix.FUSE_SUPER_MAGIC: "FUSE", unix.V9FS_MAGIC: "9p", unix.SMB2_SUPER_MAGIC: "SMB",
		unix.EXT4_SUPER_MAGIC: "", unix.XFS_SUPER_MAGIC: "", unix.BTRFS_SUPER_MAGIC: "", unix.TMPFS_MAGIC: "",
	} {
		if got := hollow(kind); got != want {
			t.Errorf("hollow(%#x) = %q, want %q", kind, got, want)
		}
	}
}

// TestDiskForgets reads a file again after the kernel had to forget it.
func TestDiskForgets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.sync(); err != nil {
		t.Fatal(err)
	}
	if err := d.forget(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "kept" {
		t.Errorf("%q, %v", got, err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	if err := d.sync(); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a sync that can't be made: %v", err)
	}
	if _, err := openDisk(filepath.Join(dir, "missing")); err == nil {
		t.Error("a directory that is not there was opened")
	}
}
