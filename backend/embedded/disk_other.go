//go:build !linux

package embedded

import (
	"errors"
	"runtime"
)

// disk is the file system that JetStream's files are in.
type disk struct{}

// openDisk refuses: only Linux syncs a whole file system and says how that went.
func openDisk(string) (*disk, error) {
	return nil, errors.New("one sync for many messages needs Linux, and this is " + runtime.GOOS + "; set durability.sync to always")
}

func (*disk) sync() error { return nil }

func (*disk) forget() error { return nil }

func (*disk) close() error { return nil }
