package main

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend"
)

// faultLog remembers the last warnings and errors of the log, for those who ask
// how a node is. It has the messages only, not what the lines say besides.
type faultLog struct {
	mu   sync.Mutex
	kept []backend.NodeFault // the newest first, each message once
}

const (
	keptFaults = 5
	maxFault   = 160 // bytes
)

// Run implements [zerolog.Hook].
func (l *faultLog) Run(_ *zerolog.Event, level zerolog.Level, message string) {
	if level < zerolog.WarnLevel || level > zerolog.PanicLevel {
		return
	}
	if len(message) > maxFault {
		message = strings.ToValidUTF8(message[:maxFault], "") + "…"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = slices.DeleteFunc(l.kept, func(f backend.NodeFault) bool { return f.Message == message })
	l.kept = slices.Insert(l.kept, 0, backend.NodeFault{Time: time.Now().UTC(), Level: level.String(), Message: message})
	l.kept = l.kept[:min(len(l.kept), keptFaults)]
}

// last returns them.
func (l *faultLog) last() []backend.NodeFault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.kept)
}
