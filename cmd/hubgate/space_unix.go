//go:build linux || darwin

package main

import (
	"math"
	"syscall"
)

// freeBytes is how much this user may still write to the disk of a directory;
// negative: not known.
func freeBytes(dir string) int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return -1
	}
	return int64(min(s.Bavail*uint64(s.Bsize), math.MaxInt64)) //nolint:gosec // sizes are positive
}
