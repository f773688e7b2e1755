package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"
)

// dropUnfinished removes what is left of streams whose making a crash has cut
// off, most likely that of this hub's own first start: NATS writes the
// directory, the configuration and its checksum one after the other, and does
// not recover a stream without all of them. Nobody was told that such a stream
// exists, and no message is in it.
func dropUnfinished(accountDir string, log zerolog.Logger) error {
	names, err := streamDirs(accountDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		dir := filepath.Join(accountDir, "streams", name)
		unfinished, err := isUnfinished(dir)
		if err == nil && unfinished {
			log.Warn().Str("stream", name).Msg("the making of a stream was cut off before; it is begun anew")
			err = os.RemoveAll(dir)
		}
		if err != nil {
			return fmt.Errorf("look at the stream in %s: %w", dir, err)
		}
	}
	return nil
}

// isUnfinished reports whether a stream's configuration was never completely
// written and it holds no message.
func isUnfinished(dir string) (bool, error) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return false, err
	}
	sum, err := os.Stat(filepath.Join(dir, "meta.sum")) // written last
	if err == nil && sum.Size() > 0 {
		return false, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "msgs", "*.blk"))
	if err != nil {
		return false, err
	}
	for _, block := range blocks {
		if info, err := os.Stat(block); err != nil || info.Size() > 0 {
			return false, err
		}
	}
	return true, nil
}
