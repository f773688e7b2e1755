//go:build !linux

package simulate

import "syscall"

// lateBind is for Linux.
func lateBind(string, string, syscall.RawConn) error { return nil }
