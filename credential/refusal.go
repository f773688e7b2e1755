package credential

import (
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Reason is IoT Hub's credentialError: what is wrong with a request, for
// programs.
type Reason string

// The reasons. IoT Hub has published FailedToDecodeCsr only.
const (
	BadRequest      Reason = "InvalidRequest"
	UndecodableCSR  Reason = "FailedToDecodeCsr"
	BadSignature    Reason = "InvalidCsrSignature"
	BadKey          Reason = "UnsupportedKey"
	SubjectMismatch Reason = "SubjectMismatch"
)

// Refusal is an error with what IoT Hub tells of it besides.
type Refusal struct {
	Cause      *hub.Error
	Reason     Reason        // of CredentialFailed; empty otherwise
	Active     *Operation    // the one that is in the way; nil: none
	RetryAfter time.Duration // 0: nothing is known
}

// Error implements error.
func (r *Refusal) Error() string { return r.Cause.Error() }

// Unwrap returns the error with its code.
func (r *Refusal) Unwrap() error { return r.Cause }

// refuse says what is wrong with a request.
func refuse(reason Reason, format string, args ...any) error {
	return &Refusal{Cause: hub.Errorf(hub.CredentialFailed, format, args...), Reason: reason}
}
