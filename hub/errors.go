package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Code is one of IoT Hub's six-digit error codes; its first three digits are
// the HTTP status. Source: Microsoft's "troubleshoot error codes" page and
// ErrorCode.cs of the C# service SDK.
type Code int

// The codes that Hubgate uses. Their text and their form in each protocol are
// in the table of codes.go.
const (
	GenericBadRequest          Code = 400000
	InvalidProtocol            Code = 400001
	ArgumentInvalid            Code = 400004
	ArgumentNull               Code = 400005
	BlobsRefused               Code = 400008
	DefinedTwice               Code = 400011
	BulkFailed                 Code = 400013
	ConnectionReplaced         Code = 400027
	InvalidScope               Code = 400028
	BulkKeysFailed             Code = 400036
	CredentialFailed           Code = 400040
	InvalidCondition           Code = 400401
	InvalidContent             Code = 400402
	ContentFixed               Code = 400403
	InvalidMetrics             Code = 400404
	AccessDenied               Code = 401002
	Unauthorized               Code = 401003
	QuotaExceeded              Code = 403002
	QueueFull                  Code = 403004
	InvalidExpiry              Code = 403009
	DeviceDisabled             Code = 403012
	TooManyProperties          Code = 403100
	TooManyCalls               Code = 403800
	NotFound                   Code = 404000
	DeviceNotFound             Code = 404001
	JobNotFound                Code = 404002
	CertificateNotFound        Code = 404008
	ModuleNotFound             Code = 404010
	NotSupported               Code = 404013
	DeviceNotOnline            Code = 404103
	ConnectionLost             Code = 404104
	ConfigurationNotFound      Code = 404301
	MethodNotAllowed           Code = 405000
	StateForbids               Code = 405102
	DeviceAlreadyExists        Code = 409001
	CredentialPending          Code = 409004
	CredentialActive           Code = 409005
	JobAlreadyExists           Code = 409104
	ModuleAlreadyExists        Code = 409301
	ConfigurationAlreadyExists Code = 409401
	PreconditionFailed         Code = 412001
	LockLost                   Code = 412002
	CredentialUnready          Code = 412005
	MessageTooLarge            Code = 413001
	TooManyDevices             Code = 413002
	TooManyModules             Code = 413003
	TooManyConfigurations      Code = 413101
	WrongMediaType             Code = 415000
	Throttled                  Code = 429001
	CredentialThrottled        Code = 429002
	TooManyJobs                Code = 429004
	ServerError                Code = 500001
	BadDeviceAnswer            Code = 502000
	ServiceUnavailable         Code = 503001
	GatewayTimeout             Code = 504101
)

// Error is a failure with its code. Message is one sentence that names what is
// wrong and what to do; it may be shown to whoever caused it, so it never
// holds a key, a token or another party's data. Err, when set, is for the log
// only.
type Error struct {
	Code    Code
	Message string
	Err     error
}

// Errorf returns an *Error with a formatted message. A %w verb sets Err; of an
// *Error that it wraps the message takes the sentence without the code.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err)}
	if inner, ok := errors.AsType[*Error](e.Err); ok {
		e.Message = strings.Replace(e.Message, inner.Error(), inner.Message, 1)
	}
	return e
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%d %s: %s", int(e.Code), e.Code.Name(), e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches another *Error of the same code, so that
// errors.Is(err, &hub.Error{Code: hub.DeviceNotFound}) works.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// CodeOf finds the code of err. What nobody classified is a server error; nil
// has code 0.
func CodeOf(err error) Code {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return GatewayTimeout
	}
	return ServerError
}
