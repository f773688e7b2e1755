package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// args are the arguments of one command to a driver.
type args map[string]any

// line is one line of a driver: an answer (ID set) or an event.
type line struct {
	ID      int       `json:"id"`
	Event   string    `json:"event"`
	Client  string    `json:"client"`
	Seq     int       `json:"seq"`
	Status  string    `json:"status"`
	Sent    int       `json:"sent"`
	Pending int       `json:"pending"`
	Error   *sdkError `json:"error"`

	Twin deviceTwin     `json:"twin"` // what the device sees of it
	Data map[string]any `json:"data"` // of a notification of desired properties

	Message message `json:"message"` // from the cloud

	Result json.RawMessage `json:"result"` // of an operation of a service SDK

	at time.Time
}

// sdkError is an error as an SDK raised it.
type sdkError struct {
	Class   string   `json:"class"`
	Chain   []string `json:"chain"` // the class and those of its causes
	Message string   `json:"message"`
	Status  string   `json:"status"`
	Body    string   `json:"body"` // of the hub's answer, where the SDK shows it
}

func (e *sdkError) Error() string {
	return fmt.Sprintf("%s %s: %s %s (%s)", e.Class, e.Status, e.Message, e.Body, strings.Join(e.Chain, " < "))
}

// driver is a running SDK under remote control.
type driver struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	stderr lockedBuffer

	mu      sync.Mutex
	next    int
	answers map[int]chan line
	seen    []line        // every event so far
	news    chan struct{} // closed and replaced when seen grows
	ended   bool          // the process has closed its output
}

// startDriver runs an SDK's driver until the end of t.
func startDriver(t *testing.T, argv ...string) *driver {
	t.Helper()
	d := &driver{t: t, answers: map[int]chan line{}, news: make(chan struct{})}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr, d.cmd = &d.stderr, cmd
	var err error
	if d.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		d.read(out)
	}()
	t.Cleanup(func() { d.end(cmd, read) })
	d.await("ready", func(l line) bool { return l.Event == "ready" })
	return d
}

// end closes the driver's input, which ends it, and kills it when it doesn't.
func (d *driver) end(cmd *exec.Cmd, read <-chan struct{}) {
	_ = d.in.Close()
	select {
	case <-read:
	case <-time.After(5 * time.Second):
		_ = cmd.Process.Kill()
		<-read
	}
	_ = cmd.Wait()
	if d.t.Failed() {
		d.t.Logf("the driver's last events:%s\nits standard error:\n%s", d.history(), tail(d.stderr.String(), 4000))
	}
}

// kill ends the process as the loss of its machine would, and waits until all it
// has said is read.
func (d *driver) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.t.Fatal(err)
	}
	deadline := time.After(patience)
	for {
		d.mu.Lock()
		news, ended := d.news, d.ended
		d.mu.Unlock()
		if ended {
			return
		}
		select {
		case <-news:
		case <-deadline:
			d.t.Fatalf("the driver still runs %v after SIGKILL", patience)
		}
	}
}

func (d *driver) read(out io.Reader) {
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		l := line{at: time.Now()}
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			l = line{Event: "unreadable", Status: scanner.Text(), at: time.Now()}
		}
		d.take(l)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = true
	for id, answer := range d.answers {
		delete(d.answers, id)
		close(answer)
	}
	close(d.news)
	d.news = make(chan struct{})
}

func (d *driver) take(l line) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if answer, ok := d.answers[l.ID]; ok && l.Event == "" {
		delete(d.answers, l.ID)
		answer <- l
		return
	}
	d.seen = append(d.seen, l)
	close(d.news)
	d.news = make(chan struct{})
}

// begin sends a command and returns where its answer will come.
func (d *driver) begin(op, client string, a args) <-chan line {
	d.t.Helper()
	d.mu.Lock()
	d.next++
	id, answer := d.next, make(chan line, 1)
	if d.ended {
		close(answer)
	} else {
		d.answers[id] = answer
	}
	d.mu.Unlock()
	cmd := args{"id": id, "op": op, "client": client}
	maps.Copy(cmd, a)
	data, err := json.Marshal(cmd)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.in.Write(append(data, '\n')); err != nil {
		d.t.Fatalf("write %s to the driver: %v\n%s", op, err, tail(d.stderr.String(), 4000))
	}
	return answer
}

// finish waits for the answer of a command.
func (d *driver) finish(what string, answer <-chan line) line {
	d.t.Helper()
	select {
	case l, ok := <-answer:
		if !ok {
			d.t.Fatalf("the driver ended before it answered %s\n%s", what, tail(d.stderr.String(), 4000))
		}
		return l
	case <-time.After(patience):
		d.t.Fatalf("no answer to %s within %v; events so far: %s", what, patience, d.history())
		return line{}
	}
}

// try runs a command and returns the SDK's error, if any.
func (d *driver) try(op, client string, a args) *sdkError {
	d.t.Helper()
	return d.finish(op+" "+client, d.begin(op, client, a)).Error
}

// do runs a command that must succeed.
func (d *driver) do(op, client string, a args) line {
	d.t.Helper()
	l := d.finish(op+" "+client, d.begin(op, client, a))
	if l.Error != nil {
		d.t.Fatalf("%s %s: %v", op, client, l.Error)
	}
	return l
}

// events returns a copy of every event so far.
func (d *driver) events() []line {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]line(nil), d.seen...)
}

// await waits for the first event, past or future, for which match is true.
func (d *driver) await(what string, match func(line) bool) line {
	d.t.Helper()
	deadline := time.After(patience)
	for from := 0; ; {
		d.mu.Lock()
		seen, news, ended := d.seen, d.news, d.ended
		d.mu.Unlock()
		for ; from < len(seen); from++ {
			if match(seen[from]) {
				return seen[from]
			}
		}
		if ended {
			d.t.Fatalf("the driver ended while waiting for %s\n%s", what, tail(d.stderr.String(), 4000))
		}
		select {
		case <-news:
		case <-deadline:
			d.t.Fatalf("no %s within %v; events so far: %s", what, patience, d.history())
		}
	}
}

// awaitCount waits until n events have matched.
func (d *driver) awaitCount(what string, n int, match func(line) bool) {
	d.t.Helper()
	count := 0
	d.await(fmt.Sprintf("%d × %s", n, what), func(l line) bool {
		if match(l) {
			count++
		}
		return count >= n
	})
}

// history is the tail of the events, for messages.
func (d *driver) history() string {
	var b strings.Builder
	events := d.events()
	for _, l := range events[max(0, len(events)-20):] {
		fmt.Fprintf(&b, "\n  %s %s client=%s seq=%d %s", l.at.UTC().Format("15:04:05.000"), l.Event, l.Client, l.Seq, l.Status)
		if l.Error != nil {
			fmt.Fprintf(&b, " %v", l.Error)
		}
	}
	return b.String()
}

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func tail(s string, n int) string {
	return s[max(0, len(s)-n):]
}
