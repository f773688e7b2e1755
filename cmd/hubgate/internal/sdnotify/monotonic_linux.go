package sdnotify

import (
	"time"

	"golang.org/x/sys/unix"
)

// monotonic is the clock by which the manager orders a reload: it must be the
// kernel's, which Go's own does not show.
func monotonic() (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return time.Duration(t.Nano()), err
}
