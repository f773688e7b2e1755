package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// pages returns the documentation, by its path in the tree.
func pages(t *testing.T) map[string]string {
	t.Helper()
	paths := []string{filepath.Join(root, "README.md")}
	for _, pattern := range []string{"docs/*.md", "samples/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d pages, %v", pattern, len(found), err)
		}
		paths = append(paths, found...)
	}
	all := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.ToSlash(name)] = string(text)
	}
	return all
}

// natsLines returns the lines for the nats command in a page: those of code
// blocks, and code within a sentence that names more than the command and its
// verb.
func natsLines(page string) []string {
	var lines []string
	inside := false
	var prose strings.Builder
	flush := func() {
		for _, span := range regexp.MustCompile("`(nats [^`]+)`").FindAllStringSubmatch(prose.String(), -1) {
			if words := strings.Fields(span[1]); len(words) > 2 {
				lines = append(lines, strings.Join(words, " "))
			}
		}
		prose.Reset()
	}
	for line := range strings.Lines(strings.ReplaceAll(page, "\\\n", " ")) {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence:
			flush()
			inside = !inside
		case inside:
			if l, ok := natsLine(line); ok {
				lines = append(lines, l)
			}
		default:
			prose.WriteString(line)
		}
	}
	flush()
	return lines
}

// natsLine finds a line for nats in one of a code block, which may be the
// alternative in another line's comment.
func natsLine(line string) (string, bool) {
	command, comment, _ := strings.Cut(line, " # ")
	command = strings.TrimPrefix(strings.TrimSpace(command), "$ ")
	if strings.HasPrefix(command, "nats ") {
		return command, true
	}
	comment = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(comment), "or:"))
	return comment, strings.HasPrefix(comment, "nats ")
}

func TestNatsLines(t *testing.T) {
	t.Parallel()
	const page = "One `nats pub` is no line, `nats micro info\nx` is.\n\n```sh\n$ nats a b   # c\nhubgate x  # or: nats d e\nnats.connect()\nnats f \\\n  g\n```\n\n`nats`\n"
	want := []string{"nats micro info x", "nats a b", "nats d e", "nats f    g"}
	got := natsLines(page)
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
}
