package rest

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// envelope is how the body of an error looks. SDKs know both forms, and some
// look for one of them on some paths.
type envelope byte

const (
	// envelopeA is for identities, configurations, jobs and queries: the name of
	// the code and a sentence in a string.
	envelopeA envelope = iota
	// envelopeB is for direct methods: JSON in a string. A device that is not
	// there is told in the other form, by which Node's client knows it.
	envelopeB
	// envelopeTwin is for twins: envelopeA, but for bad credentials, and without
	// a part of the gateway in the tracking id.
	envelopeTwin
)

// isEscaped reports whether an error of this code is JSON in a string.
func (e envelope) isEscaped(code hub.Code) bool {
	switch e {
	case envelopeB:
		return code != hub.DeviceNotFound
	case envelopeTwin:
		return code == hub.AccessDenied
	case envelopeA:
	}
	return false
}

// gateway is what the tracking id has between its number and its time.
func (e envelope) gateway() string {
	if e == envelopeTwin {
		return ""
	}
	return "-G:0"
}

// fault is the body of an error, in either form. Java's client reads what is in
// Message only when ExceptionMessage is empty.
type fault struct {
	Message          string
	ExceptionMessage string
}

// detail is what is in the Message of envelopeB.
type detail struct {
	ErrorCode    int      `json:"errorCode"`
	TrackingID   string   `json:"trackingId"`
	Message      string   `json:"message"`
	Info         struct{} `json:"info"`
	TimestampUTC string   `json:"timestampUtc"`
}

// refusal is the answer that an error is.
func (c *call) refusal(err error) reply {
	code := hub.CodeOf(err)
	out := reply{status: code.Status(), headers: http.Header{"Iothub-Errorcode": {code.Name()}}}
	if c.allow != "" {
		out.headers.Set("Allow", c.allow)
	}
	form := envelopeA
	if c.route != nil {
		form = c.route.envelope
	}
	at := c.begun.UTC()
	if form.isEscaped(code) {
		out.body = c.escaped(detail{
			ErrorCode: int(code), TrackingID: c.tracking("-G:0", at), Message: sentence(err), TimestampUTC: timestamp(at),
		})
		return out
	}
	// Node's client cuts what follows a second semicolon.
	text := strings.ReplaceAll(sentence(err), ";", ",")
	out.body = fault{"ErrorCode:" + code.Name() + ";" + text, "Tracking ID:" + c.tracking(form.gateway(), at)}
	return out
}

func (c *call) escaped(d detail) fault {
	inner, _ := marshal(d) // of strings and a number
	return fault{Message: string(inner)}
}

// tracking is what people look a request up by: its id, as in x-ms-request-id,
// and the time.
func (c *call) tracking(gateway string, at time.Time) string {
	return c.request + gateway + "-TimeStamp:" + at.Format("01/02/2006 15:04:05")
}

// timestamp prints a time as IoT Hub does: up to seven digits, without zeros
// at the end.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.9999999Z") }

// sentence is what a caller may read of an error. A fault that nobody has
// classified has only the hint of its code. It is without semicolons: at each,
// Node's SDK takes a message apart, and shows its application one part.
func sentence(err error) string {
	text := hub.CodeOf(err).Hint()
	if e, ok := errors.AsType[*hub.Error](err); ok {
		text = e.Message
	}
	return strings.ReplaceAll(text, ";", ",")
}

// cause is what is only for the log.
func cause(err error) error {
	if e, ok := errors.AsType[*hub.Error](err); ok {
		return e.Err
	}
	return err
}
