//go:build !linux && !windows

package hubtest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// dieWithParent does nothing here: a test that is killed leaves its processes.
func dieWithParent(*exec.Cmd) {}

// Pause stops a process until it gets SIGCONT.
func Pause(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatalf("pause process %d: %v", p.Pid, err)
	}
}
