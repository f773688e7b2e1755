//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// disk is a file system of its own, in a file and in a mount namespace that
// only a process of ours is in. Nothing is left when that ends.
type disk struct {
	dir    string // as it is seen in the namespace
	within string // as this process reaches it
	holder int
	stdin  io.WriteCloser
	stdout *bufio.Reader
	cmd    *exec.Cmd
}

// diskScript mounts the file, and then freezes and thaws as it is told. It ends
// with its input: what is frozen would keep others from ending.
const diskScript = `set -e
truncate -s "$2" "$1.img"; mkfs.ext4 -q -F -m 0 "$1.img"; mkdir -p "$1"; mount -o loop "$1.img" "$1"; rm "$1.img"
echo mounted
while read -r word; do
  case $word in
  freeze) fsfreeze -f "$1";;
  thaw) fsfreeze -u "$1";;
  esac
  echo "$word"
done
fsfreeze -u "$1" 2>/dev/null || true`

// newDisk makes a file system of size bytes at dir. It takes root and a loop
// device; its error says what is missing.
func newDisk(dir string, size int64) (*disk, error) {
	cmd := exec.CommandContext(context.Background(), "unshare", "-m", "sh", "-c", diskScript, "sh", dir, strconv.FormatInt(size, 10))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &disk{dir: dir, holder: cmd.Process.Pid, stdin: stdin, stdout: bufio.NewReader(stdout), cmd: cmd}
	d.within = fmt.Sprintf("/proc/%d/root%s", d.holder, dir)
	if line, _ := d.stdout.ReadString('\n'); line != "mounted\n" {
		d.close()
		return nil, fmt.Errorf("mounting a file system needs root and a loop device: %s", strings.TrimSpace(stderr.String()))
	}
	return d, nil
}

// enter is the command that another program is run by, to see the disk.
func (d *disk) enter() []string {
	return []string{"nsenter", "-m", "-t", strconv.Itoa(d.holder), "--"}
}

// tell gives the holder a word, and returns when it has obeyed.
func (d *disk) tell(word string) error {
	if _, err := io.WriteString(d.stdin, word+"\n"); err != nil {
		return fmt.Errorf("%s the disk: %w", word, err)
	}
	if line, err := d.stdout.ReadString('\n'); line != word+"\n" {
		return fmt.Errorf("%s the disk: %q, %w", word, line, err)
	}
	return nil
}

func (d *disk) ballast() string { return filepath.Join(d.within, "ballast") }

// fill leaves nothing free.
func (d *disk) fill() error {
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer f.Close()
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.within, &s); err != nil {
		return err
	}
	at := int64(0)
	for piece := int64(s.Bavail) * s.Bsize; piece >= s.Bsize; {
		err := syscall.Fallocate(int(f.Fd()), 0, at, piece)
		switch {
		case err == nil:
			at += piece
		case errors.Is(err, syscall.ENOSPC): // the file system needs some for itself
			piece = piece / 2 / s.Bsize * s.Bsize
		default:
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	return nil
}

// free takes back what fill took.
func (d *disk) free() error { return os.Remove(d.ballast()) }

func (d *disk) close() {
	_ = d.stdin.Close()
	_ = d.cmd.Wait()
}
