package embedded

import (
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// What a message of damaged files may take in an error.
const maxWarnings = 20

// bridge writes what nats-server says to our log. Until the start is over it
// also keeps warnings and the fatal error, which nats-server tells nobody
// else.
type bridge struct {
	log  zerolog.Logger
	lost chan struct{} // closed when something is given up

	mu       sync.Mutex
	died     string
	warnings []string
	started  bool
	gaveUp   bool
}

func newBridge(log zerolog.Logger) *bridge { return &bridge{log: log, lost: make(chan struct{})} }

var _ server.Logger = (*bridge)(nil)

// Noticef implements server.Logger.
func (b *bridge) Noticef(format string, v ...any) { b.log.Debug().Msg(text(format, v)) }

// Debugf implements server.Logger.
func (b *bridge) Debugf(format string, v ...any) { b.log.Debug().Msg(text(format, v)) }

// Tracef implements server.Logger.
func (b *bridge) Tracef(format string, v ...any) { b.log.Trace().Msg(text(format, v)) }

// Warnf implements server.Logger.
func (b *bridge) Warnf(format string, v ...any) { b.warn(text(format, v)) }

// Errorf implements server.Logger.
func (b *bridge) Errorf(format string, v ...any) { b.warn(text(format, v)) }

// Fatalf implements server.Logger. It does not end the process: Start reports
// the text.
func (b *bridge) Fatalf(format string, v ...any) {
	s := text(format, v)
	b.log.Error().Msg(s)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.died == "" {
		b.died = s
	}
}

// givesUp reports that nats-server will write to a stream, or to all, no more,
// however much room there is later.
func givesUp(s string) bool {
	return strings.Contains(s, "critical write error") || strings.Contains(s, "will be DISABLED") || strings.Contains(s, "disabling JetStream")
}

func (b *bridge) warn(s string) {
	lost := givesUp(s)
	if lost {
		b.log.Error().Str("hint", "nothing is stored in this stream any more; make room on the disk, after which the hub has to start again").Msg(s)
	} else {
		b.log.Warn().Msg(s)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if lost && !b.gaveUp {
		b.gaveUp = true
		close(b.lost)
	}
	if !b.started && len(b.warnings) < maxWarnings {
		b.warnings = append(b.warnings, s)
	}
}

func (b *bridge) fatal() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.died
}

// startOver ends the keeping of warnings and returns those that mention word.
func (b *bridge) startOver(word string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.started = true
	var found []string
	for _, w := range b.warnings {
		if strings.Contains(w, word) {
			found = append(found, w)
		}
	}
	b.warnings = nil
	return found
}

func text(format string, v []any) string { return strings.TrimSpace(fmt.Sprintf(format, v...)) }
