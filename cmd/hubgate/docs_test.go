package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/alecthomas/kong"
)

// TestDocumentedCommands parses every command line of this program that the
// documents show.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range append(files, filepath.Join(root, "README.md"), filepath.Join(root, "samples", "README.md")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandLines(string(text)) {
			found++
			if err := parses(t, words(line)); err != nil {
				t.Errorf("%s: %q: %v", filepath.Base(file), line, err)
			}
		}
	}
	if found < 20 {
		t.Errorf("found %d command lines", found)
	}
}

// commandLines finds the command lines in blocks of shell, and in code in the
// text that begins with the program's name.
func commandLines(text string) []string {
	var lines []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(strings.ReplaceAll(block[1], "\\\n", " ")) {
			rest, ok := strings.CutPrefix(line, "go run ./cmd/hubgate ")
			if !ok {
				rest, ok = strings.CutPrefix(line, "hubgate ")
			}
			if ok {
				lines = append(lines, rest)
			}
		}
	}
	for _, code := range regexp.MustCompile("`hubgate ([a-z][^`]*)`").FindAllStringSubmatch(text, -1) {
		lines = append(lines, code[1])
	}
	return lines
}

// words splits a command line and drops quotes and comments.
func words(line string) []string {
	line = strings.ReplaceAll(line, `"$(mktemp -d)"`, "dir")
	var all []string
	var word strings.Builder
	var quote rune
	begun := false
	for _, r := range line + " " {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
		case quote != 0 || !unicode.IsSpace(r):
			if r == '#' && !begun {
				return all
			}
			word.WriteRune(r)
			begun = true
		case begun:
			all, begun = append(all, word.String()), false
			word.Reset()
		}
	}
	return all
}

// parses checks a command line; that it ends early, as in "hubgate config", is
// all right.
func parses(t *testing.T, args []string) error {
	t.Helper()
	parser, err := kong.New(new(commands), kong.Bind(&app{}), kong.BindTo(context.Background(), (*context.Context)(nil)),
		kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	if err != nil && (strings.HasPrefix(err.Error(), "expected ") || strings.HasPrefix(err.Error(), "missing flags")) {
		return nil
	}
	return err
}

// TestDocumentedLinks follows the relative links of the documents.
func TestDocumentedLinks(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "samples/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range regexp.MustCompile(`\]\(([^)#]+)`).FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), link[1])); err != nil {
				t.Errorf("%s: %v", filepath.Base(file), err)
			}
		}
	}
}
