package methods

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

// The headers of requests on hub.method.…, and of their replies and results.
// docs/methods.md describes them.
const (
	HeaderConnectTimeout  = "Hub-Connect-Timeout"
	HeaderResponseTimeout = "Hub-Response-Timeout"
	HeaderWait            = "Hub-Wait"
	HeaderReplyTo         = "Hub-Reply-To"

	HeaderStatus    = "Hub-Status"
	HeaderCommandID = "Hub-Command-Id"
	HeaderOutcome   = "Hub-Command-Outcome"
	HeaderDevice    = "Hub-Device"
	HeaderModule    = "Hub-Module"
	HeaderMethod    = "Hub-Method"
)

// ParseHeaders fills in what the headers of a request say. stored tells that
// the caller wants the call kept until the device comes. A header that begins
// as ours do and is none of them is refused: a timeout with a spelling mistake
// must not pass for one.
func (o *Order) ParseHeaders(h map[string][]string) (stored bool, err error) {
	for name, values := range h {
		field := o.field(name)
		switch {
		case !strings.HasPrefix(strings.ToLower(name), "hub-"):
			continue
		case len(values) != 1:
			return false, hub.Errorf(hub.ArgumentInvalid, "the header %s is there %d times", name, len(values))
		case field != nil:
			if *field, err = parseTime(name, values[0]); err != nil {
				return false, err
			}
		case name == HeaderReplyTo:
			o.ReplyTo = values[0]
		default:
			return false, hub.Errorf(hub.ArgumentInvalid, "there is no header %.64q; there are %s", name, strings.Join(known(), ", "))
		}
	}
	o.Trace = span.Of(h)
	_, stored = h[HeaderWait]
	if o.ReplyTo != "" && !stored {
		return false, hub.Errorf(hub.ArgumentInvalid, "%s goes with %s; other calls are answered at once", HeaderReplyTo, HeaderWait)
	}
	return stored, nil
}

// field is what a header with a time is about; nil for any other header.
func (o *Order) field(name string) *time.Duration {
	switch name {
	case HeaderConnectTimeout:
		return &o.ConnectTimeout
	case HeaderResponseTimeout:
		return &o.ResponseTimeout
	case HeaderWait:
		return &o.Wait
	default:
		return nil
	}
}

func known() []string {
	return []string{HeaderConnectTimeout, HeaderResponseTimeout, HeaderWait, HeaderReplyTo}
}

// parseTime reads a Go duration, or a number of seconds.
func parseTime(name, s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err == nil && d >= 0 {
		return d, nil
	}
	seconds, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, hub.Errorf(hub.ArgumentInvalid, "the header %s is %.32q: give a duration such as 30s, or seconds", name, s)
	}
	return time.Duration(seconds) * time.Second, nil
}

// Headers are the headers of a request with what o says.
func (o *Order) Headers() map[string][]string {
	h := map[string][]string{}
	for name, d := range map[string]time.Duration{
		HeaderConnectTimeout: o.ConnectTimeout, HeaderResponseTimeout: o.ResponseTimeout, HeaderWait: o.Wait,
	} {
		if d != 0 {
			h[name] = []string{d.String()}
		}
	}
	if o.ReplyTo != "" {
		h[HeaderReplyTo] = []string{o.ReplyTo}
	}
	o.Trace.Put(h)
	return h
}

// Headers are what a reply has beside its body, the payload.
func (a Answer) Headers() map[string][]string {
	return map[string][]string{HeaderStatus: {strconv.Itoa(a.Status)}}
}

// ParseAnswer is the inverse of [Answer.Headers]; false when there is no
// answer.
func ParseAnswer(h map[string][]string, body []byte) (Answer, bool) {
	status, err := strconv.Atoi(first(h, HeaderStatus))
	return Answer{Status: status, Payload: slices.Clip(body)}, err == nil
}

// ResultHeaders are what the result of a finished command has beside its body,
// the payload.
func (c *Command) ResultHeaders() map[string][]string {
	h := map[string][]string{
		HeaderCommandID: {c.ID}, HeaderOutcome: {string(c.Result.Outcome)},
		HeaderDevice: {c.For.Device}, HeaderMethod: {c.Method},
	}
	if c.For.IsModule() {
		h[HeaderModule] = []string{c.For.Module}
	}
	if c.Result.Outcome == Answered {
		h[HeaderStatus] = []string{strconv.Itoa(c.Result.Status)}
	}
	return h
}

// CallHeaders are the headers of a call between nodes.
func (c *Call) CallHeaders() map[string][]string {
	h := map[string][]string{
		HeaderDevice: {c.ID.Device}, HeaderMethod: {c.Method}, HeaderResponseTimeout: {c.ResponseTimeout.String()},
	}
	if c.ID.IsModule() {
		h[HeaderModule] = []string{c.ID.Module}
	}
	c.Trace.Put(h)
	return h
}

// ParseCall is the inverse of [Call.CallHeaders]. It fails with
// ArgumentInvalid.
func ParseCall(h map[string][]string, body []byte) (Call, error) {
	c := Call{
		ID:     hub.Identity{Device: first(h, HeaderDevice), Module: first(h, HeaderModule)},
		Method: first(h, HeaderMethod), Payload: body, Trace: span.Of(h),
	}
	var err error
	if c.ResponseTimeout, err = parseTime(HeaderResponseTimeout, first(h, HeaderResponseTimeout)); err != nil {
		return Call{}, err
	}
	if !hub.ValidID(c.ID.Device) || c.ID.IsModule() && !hub.ValidID(c.ID.Module) {
		return Call{}, hub.Errorf(hub.ArgumentInvalid, "%q is not the id of a device or module", c.ID)
	}
	return c, c.Complete()
}

func first(h map[string][]string, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
