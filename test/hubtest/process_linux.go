package hubtest

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the process end with the test, even when the test is
// killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
