package deploy

import (
	"bufio"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

const dockerfile = files + "/docker/Dockerfile"

// instruction is one line of a Dockerfile.
type instruction struct{ name, rest string }

// lastStage returns the instructions of the image itself.
func lastStage(t *testing.T) (all []instruction) {
	t.Helper()
	text := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(read(t, dockerfile), "")
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case name == "FROM":
			all = []instruction{{name, rest}}
		default:
			all = append(all, instruction{name, rest})
		}
	}
	return all
}

func only(t *testing.T, all []instruction, name string) string {
	t.Helper()
	i := slices.IndexFunc(all, func(i instruction) bool { return i.name == name })
	if i < 0 {
		t.Fatalf("the image has no %s", name)
	}
	return all[i].rest
}

// words reads the JSON form of a command.
func words(t *testing.T, text string) (command []string) {
	t.Helper()
	if err := json.Unmarshal([]byte(text[strings.Index(text, "["):]), &command); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return command
}

// TestImage: nothing but the binary, its roots and its data, for a user without
// rights; and what is said of the binary is so.
func TestImage(t *testing.T) {
	all := lastStage(t)
	if all[0].rest != "scratch" {
		t.Errorf("the image is made from %s", all[0].rest)
	}
	for _, i := range all {
		if i.name == "RUN" || i.name == "ADD" {
			t.Errorf("%s %s in an image without a shell", i.name, i.rest)
		}
	}
	if user := only(t, all, "USER"); user != "65532:65532" {
		t.Errorf("the user is %s", user)
	}
	if entry := words(t, only(t, all, "ENTRYPOINT")); !slices.Equal(entry, []string{"/hubgate"}) {
		t.Errorf("the entry point is %q", entry)
	}
	takes(t, dockerfile, words(t, only(t, all, "CMD")))
	health := words(t, only(t, all, "HEALTHCHECK"))
	takes(t, dockerfile, health[1:])
	var names []string
	for assignment := range strings.FieldsSeq(only(t, all, "ENV")) {
		name, _, _ := strings.Cut(assignment, "=")
		names = append(names, name)
	}
	variables(t, dockerfile, names)
	if ports := only(t, all, "EXPOSE"); ports != "8883 443" {
		t.Errorf("the ports are %s", ports)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../../go.mod"))[1]
	if !strings.Contains(read(t, dockerfile), "FROM --platform=$BUILDPLATFORM golang:"+version+"-") {
		t.Errorf("the image is not built by Go %s, which go.mod names", version)
	}
}

// TestImageRuns does what the image does, without Docker: a root directory with
// the files that it has, and the user that it has. The binary needs no library,
// no shell, no /tmp and no name of a user.
func TestImageRuns(t *testing.T) {
	if os.Getuid() != 0 {
		hubtest.Skip(t, "a root directory of its own needs root: what the image does is not tried")
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // another user has to see it
		t.Fatal(err)
	}
	copyStatic(t, filepath.Join(root, "hubgate"))
	const user = 65532
	data := filepath.Join(root, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, user, user); err != nil {
		t.Fatal(err)
	}
	inside := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "/hubgate", args...)
		cmd.Path, cmd.Err = "/hubgate", nil
		cmd.Dir = "/"
		cmd.Env = []string{"HUBGATE_DATA_DIR=/data", "HUBGATE_LOG_FORMAT=json", "HUBGATE_ADMIN_LISTEN=127.0.0.1:0"}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}, Pdeathsig: syscall.SIGKILL,
		}
		return cmd
	}
	log := new(hubtest.Log)
	hub := inside("dev", "-o", "json", "--host", hubtest.FreeAddress(t, 8883), "--mqtt-port", "8883", "--https-port", "0", "--nats-port", "0")
	hub.Stderr = log
	out, err := hub.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hub.Start(); err != nil {
		t.Fatal(err)
	}
	var said struct {
		Ports struct{ Admin int } `json:"ports"`
	}
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		ready <- line
	}()
	select {
	case line := <-ready:
		if err := json.Unmarshal([]byte(line), &said); err != nil || said.Ports.Admin == 0 {
			t.Fatalf("the hub said %q, %v\n%s", line, err, log)
		}
	case <-time.After(hubtest.Patience):
		t.Fatalf("the hub is not ready:\n%s", log)
	}
	health := words(t, only(t, lastStage(t), "HEALTHCHECK"))
	if text, err := inside(append(health[1:], "--address", fmt.Sprint("127.0.0.1:", said.Ports.Admin))...).CombinedOutput(); err != nil {
		t.Errorf("the health check inside: %v\n%s", err, text)
	}
	if text, err := inside("device", "list").CombinedOutput(); err != nil || !strings.Contains(string(text), "enabled") {
		t.Errorf("a command inside: %v\n%s", err, text)
	}
	if err := hub.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := hub.Wait(); err != nil {
		t.Errorf("the hub ended by SIGTERM: %v\n%s", err, log)
	}
}

// copyStatic copies the binary under test, which must need no library.
func copyStatic(t *testing.T, to string) {
	t.Helper()
	path, err := hubtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		hubtest.Skip(t, "the binary of HUBGATE_BIN needs libraries, which the image does not have")
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(to, text, 0o755) //nolint:gosec // another user has to run it
	}
	if err != nil {
		t.Fatal(err)
	}
}
