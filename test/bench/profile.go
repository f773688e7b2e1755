//go:build linux

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profiler is a file that is added to the gateway's program when profiles are
// wanted: it serves net/http/pprof on the address that envPprof names.
//
//go:embed testdata/profile.go.txt
var profiler []byte

const envPprof = "HUBGATE_BENCH_PPROF"

// overlay is the flag of go build that adds the profiler, none without
// profiles.
func (o options) overlay(dir string) ([]string, error) {
	if o.profiles == "" {
		return nil, nil
	}
	added, err := filepath.Abs("cmd/hubgate/bench_profile.go")
	if err != nil {
		return nil, fmt.Errorf("name the profiler: %w", err)
	}
	source, list := filepath.Join(dir, "profile.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {added: source}})
	if err == nil {
		err = errors.Join(os.WriteFile(source, profiler, 0o600), os.WriteFile(list, text, 0o600))
	}
	if err != nil {
		return nil, fmt.Errorf("write the profiler: %w", err)
	}
	return []string{"-overlay", list}, nil
}

// profile writes a CPU profile of a gateway, into the directory of -profile
// under the name of the row, until stop is called. Nothing without -profile.
func (b *bench) profile(row string, s *server) (stop func()) {
	if b.profiles == "" || s.pprof == "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.fetchProfile(ctx, row, s.pprof) }()
	return func() {
		if err := <-done; err != nil {
			b.book.skip("profile of %s: %v", row, err)
		}
		cancel()
	}
}

// fetchProfile takes a profile as long as a cell.
func (b *bench) fetchProfile(ctx context.Context, row, addr string) error {
	seconds := max(1, int((b.warm+b.measure).Round(time.Second)/time.Second))
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", addr, seconds)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	name := strings.NewReplacer(" ", "-", ",", "", "=", "").Replace(row) + ".pprof"
	file, err := os.Create(filepath.Join(b.profiles, name))
	if err != nil {
		return err
	}
	_, err = io.Copy(file, response.Body)
	return errors.Join(err, file.Close())
}
