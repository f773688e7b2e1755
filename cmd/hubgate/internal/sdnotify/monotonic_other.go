//go:build !linux

package sdnotify

import (
	"errors"
	"time"
)

// monotonic fails: managers with this protocol are on Linux.
func monotonic() (time.Duration, error) { return 0, errors.ErrUnsupported }
