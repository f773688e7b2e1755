package hubtest

import (
	"os"
	"os/exec"
	"testing"
)

// dieWithParent does nothing here: a test that is killed leaves its processes.
func dieWithParent(*exec.Cmd) {}

// Pause is for systems with SIGSTOP.
func Pause(t *testing.T, p *os.Process) {
	t.Helper()
	t.Fatalf("process %d can't be paused on Windows", p.Pid)
}
