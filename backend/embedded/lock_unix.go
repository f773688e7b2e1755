//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

var errLocked = errors.New("locked by another process")

// fileLock is an exclusive lock that ends with the process, however it ends.
type fileLock struct{ f *os.File }

func acquire(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, err
	}
	return &fileLock{f: f}, writePID(f)
}

// writePID is for those who read the file; the lock does not depend on it.
func writePID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

func (l *fileLock) release() error { return l.f.Close() }
