//go:build !linux || nopoller

package gateway

import "errors"

// poller is for Linux. Elsewhere, and with the tag nopoller, each connection has its
// goroutine.
type poller struct{}

func openPoller() (*poller, error) { return nil, errors.ErrUnsupported }

func (*poller) add(*conn) error { return errors.ErrUnsupported }

func (*poller) remove(*conn) {}

func (*poller) run(*line) {}

func (*poller) close() {}
