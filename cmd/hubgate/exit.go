package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
)

// The exit codes. Scripts rely on them: they never change meaning.
const (
	exitOK           = 0
	exitFailure      = 1
	exitUsage        = 2 // the command line or the configuration is wrong
	exitNotFound     = 3
	exitConflict     = 4 // it exists already, or was changed by somebody else
	exitUnauthorized = 5 // or disabled
	exitUnavailable  = 6 // NATS does not answer
)

// usageError is a fault of the command line or the configuration.
type usageError struct{ err error }

// Error implements error.
func (e usageError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode is what the process returns for err.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	switch code := hub.CodeOf(err); {
	case code == hub.ServiceUnavailable, code == hub.GatewayTimeout && isTimeout(err):
		return exitUnavailable
	case code == hub.InvalidExpiry:
		return exitUsage
	case code.Status() == 401, code == hub.DeviceDisabled: // the others with 403 are quotas
		return exitUnauthorized
	case code.Status() == 404:
		return exitNotFound
	case code.Status() == 409, code.Status() == 412:
		return exitConflict
	case code.Status() == 400:
		return exitUsage
	default:
		return exitFailure
	}
}

// isTimeout tells that NATS has not answered from that a device has not.
func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout)
}

// codeOf is the code of err as scripts see it.
func codeOf(err error) hub.Code {
	if _, ok := errors.AsType[usageError](err); ok {
		return hub.ArgumentInvalid
	}
	return hub.CodeOf(err)
}

// sentence is what the user reads of err: the message of a classified error
// without its number, which stands behind.
func sentence(err error) string {
	e, ok := errors.AsType[*hub.Error](err)
	if !ok {
		return err.Error()
	}
	return strings.Replace(err.Error(), e.Error(), e.Message, 1)
}

// withoutPasswords hides what stands before the host in URLs: whoever mistypes
// a command has it repeated in the complaint, which others may see.
func withoutPasswords(text string) string {
	return regexp.MustCompile(`://[^/\s"]*@`).ReplaceAllString(text, "://***@")
}

// report tells the user of err: a sentence on errOut and, if asJSON says so, an
// object on out, where a script reads.
func report(err error, out, errOut io.Writer, asJSON outputFormat) {
	code, text := codeOf(err), withoutPasswords(sentence(err))
	for line := range strings.SplitSeq(text, "\n") { // joined errors
		_, _ = fmt.Fprintf(errOut, "hubgate: %s\n", line)
	}
	if asJSON != formatJSON {
		return
	}
	var body struct {
		Error struct {
			Code    int    `json:"code"`
			Name    string `json:"name"`
			Message string `json:"message"`
		} `json:"error"`
	}
	body.Error.Code, body.Error.Name, body.Error.Message = int(code), code.Name(), text
	_ = writeJSON(out, body)
}
