//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// How large the gateway is, beside a program that does nothing but embed the same
// server.
const (
	rowBinary  = "stripped binary"
	rowProcess = "idle process"
	nameHello  = "embedded nats-server"
)

// sizeRound builds both as they are shipped, and looks at what each of them takes
// when nobody is there.
func (b *bench) sizeRound(ctx context.Context, round int) error {
	if !b.wants(sectionSize) {
		return nil
	}
	for _, p := range []struct {
		name, path string
		args       func(dir string) []string
	}{
		{nameHubgate, "./cmd/hubgate", func(dir string) []string {
			return []string{"dev", "-o", "json", "--data-dir", dir, "--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0", "--nats-port", "0"}
		}},
		{nameHello, "./test/bench/hello", func(dir string) []string { return []string{dir} }},
	} {
		if !b.wantsTarget(p.name) {
			continue
		}
		dir, err := os.MkdirTemp(b.dir, "size-")
		if err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		binary := filepath.Join(b.dir, "stripped-"+filepath.Base(p.path))
		err = b.measureSize(ctx, round, sized{p.name, p.path, binary, p.args(dir)})
		_ = os.RemoveAll(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// sized is a program whose size is measured.
type sized struct {
	name, source, binary string
	args                 []string
}

func (b *bench) measureSize(ctx context.Context, round int, p sized) error {
	if round == 0 {
		out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", p.binary, p.source).CombinedOutput()
		if err != nil {
			return fmt.Errorf("build %s: %w: %s", p.source, err, out)
		}
	}
	file, err := os.Stat(p.binary)
	if err != nil {
		return fmt.Errorf("look at the binary: %w", err)
	}
	b.book.add(rowBinary, p.name, metricMiB, float64(file.Size())/(1<<20))
	b.progress(rowBinary, p.name)
	s, err := startProcess(ctx, b.core, nil, p.binary, p.args...)
	if err != nil {
		return err
	}
	defer s.stop()
	var ready json.RawMessage
	if err := s.firstLine(startTimeout, &ready); err != nil {
		return err
	}
	s.settle()
	b.book.add(rowProcess, p.name, metricMiB, float64(residentBytes(s.pid()))/(1<<20))
	b.progress(rowProcess, p.name)
	return s.fault()
}

func sizeGoals() []goal {
	return []goal{
		{
			id: "S1a", what: "idle process / one that embeds nats-server", atMost: true, must: 3, aim: 2,
			over: figure{rowProcess, nameHubgate, metricMiB}, under: figure{rowProcess, nameHello, metricMiB},
		},
		{
			id: "S1b", what: "stripped binary / one that embeds nats-server", atMost: true, must: 2, aim: 1.6,
			over: figure{rowBinary, nameHubgate, metricMiB}, under: figure{rowBinary, nameHello, metricMiB},
		},
	}
}
