package hubtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// dieWithParent has the process end with the test, even when the test is
// killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// Pause stops a process until it gets SIGCONT, and returns when each of its
// threads has stopped: the others of a machine that is busy go on for a while
// after the first.
func Pause(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatalf("pause process %d: %v", p.Pid, err)
	}
	for range time.Tick(time.Millisecond) {
		if stopped(t, p.Pid) {
			return
		}
	}
}

func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("process %d is gone", pid)
	}
	for _, file := range threads {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		// pid (name) state ...; the name may have anything in it (proc_pid_stat(5)).
		if i := bytes.LastIndexByte(text, ')'); !bytes.HasPrefix(text[i+1:], []byte(" T")) {
			return false
		}
	}
	return true
}
