package credential

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// timeForm is IoT Hub's: always in UTC, with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z"

func wireTime(t time.Time) string { return t.UTC().Format(timeForm) }

// AcceptedBody is the body of the answer 202.
func AcceptedBody(op Operation) []byte {
	return write(struct {
		CorrelationID string `json:"correlationId"`
		Expires       string `json:"operationExpires"`
	}{op.CorrelationID, wireTime(op.Expires)})
}

// IssuedBody is the body of the answer 200: the certificates in base64 of DER,
// without the lines of PEM, the device's own first.
func IssuedBody(op Operation) []byte {
	return write(struct {
		CorrelationID string   `json:"correlationId"`
		Certificates  [][]byte `json:"certificates"`
	}{op.CorrelationID, op.Certificates})
}

// errorBody is the body of any other answer.
type errorBody struct {
	Code       hub.Code   `json:"errorCode"`
	Message    string     `json:"message"`
	TrackingID string     `json:"trackingId"`
	Time       string     `json:"timestampUtc"`
	RetryAfter int        `json:"retryAfter,omitempty"` // seconds
	Info       *errorInfo `json:"info,omitempty"`
}

type errorInfo struct {
	CorrelationID string `json:"correlationId,omitempty"`
	Error         Reason `json:"credentialError,omitempty"`
	Message       string `json:"credentialMessage,omitempty"`
	RID           string `json:"requestId,omitempty"`
	Expires       string `json:"operationExpires,omitempty"`
}

// How long a device waits at least, by IoT Hub's rules of retrying.
const (
	retryUnavailable = 5
	retryFault       = 300
)

// ErrorBody is the body of the answer to a request that failed; its status is
// that of [hub.CodeOf] err. Of an error without a code the device learns no
// details.
func ErrorBody(err error, now time.Time) []byte {
	code := hub.CodeOf(err)
	b := errorBody{Code: code, Message: code.Hint(), TrackingID: newID(), Time: wireTime(now)}
	if known, ok := errors.AsType[*hub.Error](err); ok {
		b.Message = known.Message
	}
	if code == hub.ServiceUnavailable || code == hub.GatewayTimeout {
		b.RetryAfter = retryUnavailable
	} else if code == hub.ServerError {
		b.RetryAfter = retryFault
	}
	if r, ok := errors.AsType[*Refusal](err); ok {
		b.tell(r)
	}
	return write(b)
}

// tell adds what IoT Hub tells of a refusal.
func (b *errorBody) tell(r *Refusal) {
	if r.RetryAfter > 0 {
		b.RetryAfter = int(r.RetryAfter/time.Second) + 1
	}
	switch {
	case r.Reason != "":
		b.Info = &errorInfo{Error: r.Reason, Message: r.Cause.Message}
	case r.Active != nil:
		b.Info = &errorInfo{CorrelationID: r.Active.CorrelationID, RID: r.Active.RID, Expires: wireTime(r.Active.Expires)}
	}
}

// write can't fail for what stands above.
func write(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}
