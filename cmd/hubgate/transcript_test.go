package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// transcript plays the commands of a file in testdata against a hub, and
// compares what they print. A line "$ hubgate …" is a command; what follows is
// its standard output, its standard error after "! ", and its exit code unless
// that is 0. Keys, times and the like are replaced by their names.
func transcript(t *testing.T, name string, p *process, dir string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mask := newMask(dir, p)
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		command, isCommand := strings.CutPrefix(line, "$ hubgate ")
		switch {
		case isCommand:
			got.WriteString(line)
			r := hubgate(t, []string{"HUBGATE_DATA_DIR=" + dir}, strings.Fields(strings.ReplaceAll(command, "{data-dir}", dir))...)
			got.WriteString(mask.apply(r.transcript()))
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
			got.WriteString(line)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(text) {
		t.Errorf("%s is stale (run with -update, and look at the difference):\n%s", path, got.String())
	}
}

func (r result) transcript() string {
	text := r.out
	for line := range strings.Lines(r.err) {
		text += "! " + line
	}
	if r.code != 0 {
		text += fmt.Sprintf("[exit %d]\n", r.code)
	}
	return text
}

// mask replaces what differs from run to run.
type mask struct {
	fixed *strings.Replacer
	keys  map[string]string
}

func newMask(dir string, p *process) *mask {
	return &mask{
		fixed: strings.NewReplacer(dir, "{data-dir}", p.ready.NATSURL, "{nats}"),
		keys:  map[string]string{},
	}
}

func (m *mask) apply(text string) string {
	text = m.fixed.Replace(text)
	text = regexp.MustCompile(`[A-Za-z0-9+/]{43}=`).ReplaceAllStringFunc(text, m.key)
	for pattern, with := range map[string]string{
		`\d{4}-\d\d-\d\dT[0-9:.]+Z`:      "{time}",
		`(?m)^\d\d:\d\d:\d\d\.\d{3}`:     "{clock}",
		`\b63\d{16}\b`:                   "{generation}",
		`("(?:etag|deviceEtag)":")[^"]+`: "${1}{etag}",
		`(ETag +)\S+`:                    "${1}{etag}",
		`(its etag is )[^,]+`:            "${1}{etag}",
		`sig=[^&"\n]+`:                   "sig={signature}",
		`\b[0-9A-F]{40}\b`:               "{sha-1}",
		`\b[0-9A-F]{64}\b`:               "{sha-256}",
		`("serial":")[0-9a-f]+`:          "${1}{serial}",
		`se=\d+`:                         "se={expiry}",
		`\b[0-9a-f]{14}[a-z2-7]{8}\b`:    "{command}",
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, with)
	}
	return text
}

// key numbers the keys, so that a transcript shows which are the same.
func (m *mask) key(s string) string {
	if m.keys[s] == "" {
		m.keys[s] = fmt.Sprintf("{key %d}", len(m.keys)+1)
	}
	return m.keys[s]
}
