package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// disk is the file system that JetStream's files are in.
type disk struct {
	// f has been open since before anything was written: the kernel tells a
	// descriptor of the lost writes since it was opened, once each.
	f *os.File
}

// Since 5.8 syncfs returns the errors of writes. Before, it says that all is well
// when nothing is.
const firstHonest, firstHonestMinor = 5, 8

// hollow is the file systems on which syncfs returns before what is behind them
// has the data, by their numbers in statfs.
func hollow(kind int64) string {
	switch kind {
	case unix.FUSE_SUPER_MAGIC:
		return "FUSE"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "SMB"
	default:
		return ""
	}
}

// openDisk opens the file system of a directory to sync it. It refuses one that
// can't say when it is done.
func openDisk(dir string) (*disk, error) {
	if release := kernel(); !isHonest(release) {
		return nil, fmt.Errorf("one sync for many messages needs Linux %d.%d, for older ones do not tell of writes that failed, and this is %s; set durability.sync to always", firstHonest, firstHonestMinor, release)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the data directory to sync it: %w", err)
	}
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return nil, errors.Join(fmt.Errorf("look at the file system of %s: %w", dir, err), f.Close())
	}
	if name := hollow(int64(s.Type)); name != "" { //nolint:unconvert // it is an int32 on some machines
		return nil, errors.Join(fmt.Errorf("%s is on %s, which does not tell when a disk has what was written; set durability.sync to always, or put the data directory on a disk of this machine", dir, name), f.Close())
	}
	return &disk{f: f}, nil
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "an unknown version"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// isHonest reports whether syncfs of a kernel returns errors.
func isHonest(release string) bool {
	first, rest, _ := strings.Cut(release, ".")
	second, _, _ := strings.Cut(rest, ".")
	if end := strings.IndexFunc(second, func(r rune) bool { return r < '0' || r > '9' }); end >= 0 {
		second = second[:end]
	}
	major, err := strconv.Atoi(first)
	minor, minorErr := strconv.Atoi(second)
	if err != nil || minorErr != nil {
		return false
	}
	return major > firstHonest || major == firstHonest && minor >= firstHonestMinor
}

// sync returns when the disk has all that was written to the file system, files,
// names and removals, before the call.
func (d *disk) sync() error {
	for {
		err := unix.Syncfs(int(d.f.Fd()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil {
			err = d.touch()
		}
		if err != nil {
			return fmt.Errorf("sync the file system of %s: %w", d.f.Name(), err)
		}
		return nil
	}
}

// touch changes the directory's time, in memory. A file system that could not write
// its journal takes no change any more; syncfs of Linux before 5.17 does not tell,
// for it only knows of the data of files.
func (d *disk) touch() error {
	now := unix.NsecToTimeval(time.Now().UnixNano())
	return unix.Futimes(int(d.f.Fd()), []unix.Timeval{now, now})
}

// forget has the kernel forget what it knows of the files in the directory. Of a
// write that was lost it keeps what was written, as if the disk had it: a program
// that starts again would take that for stored, and store more behind it. What
// was written and not lost has to be synced before.
func (d *disk) forget() error {
	root, err := filepath.EvalSymlinks(d.f.Name()) // a walk does not follow a link
	if err != nil {
		return fmt.Errorf("read what the disk has: %w", err)
	}
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
	})
	if err != nil {
		return fmt.Errorf("read what the disk has: %w", err)
	}
	return nil
}

func (d *disk) close() error { return d.f.Close() }
