package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// checkRecovered fails when a stream is on disk but was not recovered. JetStream
// itself only logs a warning and goes on without the stream; making it anew
// would then hide acknowledged messages.
func checkRecovered(ctx context.Context, nc *nats.Conn, accountDir string, log *bridge) error {
	onDisk, err := streamDirs(accountDir)
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	if _, err := js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("JetStream does not answer: %w", err)
	}
	live := map[string]bool{}
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		live[name] = true
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("list the streams: %w", err)
	}
	for _, name := range onDisk {
		if !live[name] {
			return damagedStream(filepath.Join(accountDir, "streams", name), log.startOver(name))
		}
	}
	log.startOver("")
	return nil
}

func damagedStream(dir string, warnings []string) error {
	detail := "NATS did not say why"
	if len(warnings) > 0 {
		detail = strings.Join(warnings, "; ")
	}
	return fmt.Errorf("JetStream can't read the stream in %s (%s); restore that directory from a backup, or move it away to go on without its messages", dir, detail)
}

// streamDirs lists the streams that an account has on disk.
func streamDirs(accountDir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(accountDir, "streams"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the data directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") { // nats-server's mark of a half-deleted one
			names = append(names, e.Name())
		}
	}
	return names, nil
}
