//go:build linux

package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

//go:embed testdata/sqlite.py
var sqliteScript string

// sqlite is a process of Python, whose standard library has SQLite.
type sqlite struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	note string
}

// startSQLite starts one with its twins; nil when there is no Python.
func (b *bench) startSQLite(ctx context.Context, twins int) (*sqlite, error) {
	if !b.wantsTarget(nameSQLite) {
		return nil, nil
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		b.book.skip("%s: %v: python3 with its sqlite3 module", nameSQLite, errAbsent)
		return nil, nil
	}
	s := &sqlite{cmd: exec.CommandContext(ctx, python, "-c", sqliteScript)}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start python3: %w", err)
	}
	var ready struct{ Version string }
	if err := errors.Join(s.load(twins), s.read(&ready)); err != nil {
		s.close()
		return nil, err
	}
	s.note = "SQLite " + ready.Version + " by Python, in memory, documents as text, expression index"
	return s, nil
}

// load sends the documents.
func (s *sqlite) load(twins int) error {
	w := bufio.NewWriterSize(s.in, 1<<20)
	fleet := newTwinFleet(twins)
	for d, ok := fleet.next(); ok; d, ok = fleet.next() {
		line, err := json.Marshal([]string{d.id, d.whole()})
		if err != nil {
			return err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	if _, err := w.WriteString("null\n"); err != nil {
		return err
	}
	return w.Flush()
}

func (s *sqlite) read(v any) error {
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read from python3: %w", err)
	}
	return json.Unmarshal(line, v)
}

// ask has a query answered as often as the other side's.
func (s *sqlite) ask(q asked) (answers, error) {
	var a answers
	var args [][]string
	for _, argument := range q.arguments {
		args = append(args, []string{argument})
	}
	command, err := json.Marshal(map[string]any{"sql": q.sql, "args": args, "times": q.times})
	if err != nil {
		return a, err
	}
	if _, err := s.in.Write(append(command, '\n')); err != nil {
		return a, err
	}
	var answer struct {
		NS   []time.Duration
		CPU  time.Duration
		Rows int
	}
	err = s.read(&answer)
	return answers{answer.NS, answer.CPU, answer.Rows}, err
}

func (s *sqlite) close() {
	if s == nil {
		return
	}
	_ = s.in.Close()
	_ = s.cmd.Wait()
}
