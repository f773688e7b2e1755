package simulate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/hubgate/hubgate/internal/sockerr"
)

// step is how far a connection had come when it failed.
type step string

const (
	dialling  step = "dial"
	securing  step = "TLS handshake"
	upgrading step = "WebSocket upgrade"
	greeting  step = "CONNECT"
	talking   step = "connection"
)

// stepError is an error with its place.
type stepError struct {
	step step
	err  error
}

// Error implements error.
func (e *stepError) Error() string { return string(e.step) + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *stepError) Unwrap() error { return e.err }

// refusal is a CONNACK that refuses.
type refusal struct{ code byte }

// Error implements error.
func (e refusal) Error() string {
	switch e.code {
	case 3:
		return "refused by CONNACK 3: the hub is not ready, throttles, or the device is disabled"
	case 5:
		return "refused by CONNACK 5: the hub does not accept the credentials"
	}
	return fmt.Sprintf("refused by CONNACK %d", e.code)
}

// breach is something that the hub should not have done, or should have. It is
// its own reason, so there are only as many as there are in the code.
type breach string

// Error implements error.
func (b breach) Error() string { return string(b) }

const (
	noPuback     breach = "no PUBACK within a minute"
	noPingresp   breach = "no PINGRESP within half a minute"
	lostSession  breach = "the hub has lost the session: no session present after a reconnect"
	refusedTopic breach = "a subscription was refused"
	strayPuback  breach = "a PUBACK out of order"
	strayPacket  breach = "a packet that no hub sends"
	twinRefused  breach = "a twin request was refused"
)

// reasonOf puts an error into one of a bounded number of kinds.
func reasonOf(err error) string {
	if b, ok := errors.AsType[breach](err); ok {
		return string(b)
	}
	place := ""
	if s, ok := errors.AsType[*stepError](err); ok {
		place = string(s.step) + ": "
	}
	if r, ok := errors.AsType[refusal](err); ok {
		return fmt.Sprintf("%sCONNACK %d", place, r.code)
	}
	return place + causeOf(err)
}

func causeOf(err error) string {
	switch {
	case sockerr.Is(err, syscall.ECONNREFUSED):
		return "refused, nobody listens"
	case sockerr.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset by the hub"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed by the hub"
	case sockerr.Is(err, syscall.EADDRNOTAVAIL), sockerr.Is(err, syscall.EADDRINUSE), errors.Is(err, sockerr.NoPorts):
		return "no free local port"
	case sockerr.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many open files"
	case isTimeout(err):
		return "timed out"
	case isCertificate(err):
		return "certificate not accepted"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "name not found"
	}
	return "other"
}

func isTimeout(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || sockerr.Is(err, syscall.ETIMEDOUT)
}

func isCertificate(err error) bool {
	_, verify := errors.AsType[*tls.CertificateVerificationError](err)
	_, host := errors.AsType[x509.HostnameError](err)
	return verify || host
}
