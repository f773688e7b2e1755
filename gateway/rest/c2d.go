package rest

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// Mail is the queues of cloud-to-device messages.
type Mail interface {
	// Send puts a message into the queue of its device. When it returns without
	// an error, the message is stored. It fails with QueueFull, and with what
	// [c2d.Limits.Validate] finds; it does not look whether the device exists.
	Send(ctx context.Context, m c2d.Message) (c2d.Message, error)
	// Purge empties the queue of a device and returns how many messages there
	// were.
	Purge(ctx context.Context, device string) (int, error)
}

// maxMessage is more than any hub lets a message have: how much it may have,
// says the hub's limit.
const maxMessage = 256 << 10

// sendMessage answers POST /devices/{id}/messages/deviceBound: the body is the
// message's, its properties are headers. It is in no description of the API;
// Azure IoT Explorer sends messages by it, and scripts do.
func (s *Server) sendMessage(c *call) (reply, error) {
	r, err := s.addressee(c)
	if err != nil {
		return reply{}, err
	}
	m, err := messageOf(c.r.Header)
	if err != nil {
		return reply{}, err
	}
	if m.Body, err = c.body(maxMessage); err != nil {
		return reply{}, err
	}
	m.Device = r.ID.Device
	_, err = s.Messages.Send(c.ctx(), m)
	return reply{status: http.StatusNoContent}, err
}

// addressee finds the device of the path. Azure IoT Explorer encodes its id
// twice; an id as it stands is tried first, for it may have a %.
func (s *Server) addressee(c *call) (identity.Record, error) {
	r, err := s.Registry.Get(c.ctx(), c.id)
	decoded, badEscape := url.PathUnescape(c.id.Device)
	if err == nil || badEscape != nil || decoded == c.id.Device || hub.CodeOf(err) != hub.DeviceNotFound {
		return r, err
	}
	again, againErr := s.Registry.Get(c.ctx(), hub.Identity{Device: decoded})
	if againErr != nil {
		return r, err
	}
	c.id = again.ID
	return again, nil
}

const (
	systemPrefix   = "iothub-"
	propertyPrefix = "iothub-app-"
)

// messageOf makes a message of the headers of a request. Header names have no
// case in HTTP, so that those of properties are lower case.
func messageOf(h http.Header) (c2d.Message, error) {
	var m c2d.Message
	for _, name := range sorted(h) {
		value := h.Get(name)
		name = strings.ToLower(name)
		app, isApp := strings.CutPrefix(name, propertyPrefix)
		system, isSystem := strings.CutPrefix(name, systemPrefix)
		switch {
		case isApp && len(h.Values(name)) > 1, isSystem && len(h.Values(name)) > 1:
			return m, hub.Errorf(hub.ArgumentInvalid, "the header %.80q is there more than once", name)
		case isApp:
			known, err := setSystem(&m, app, value)
			if err != nil {
				return m, err
			}
			if known { // as Azure IoT Explorer writes them
				continue
			}
			if m.Properties == nil {
				m.Properties = map[string]string{}
			}
			m.Properties[app] = value
		case isSystem:
			known, err := setSystem(&m, system, value)
			if err != nil {
				return m, err
			}
			if !known {
				return m, hub.Errorf(hub.ArgumentInvalid, "there is no header %.80q: there are iothub-messageid, -correlationid, -userid, -expiry, -ack, -contenttype, -contentencoding, -creationtimeutc, and iothub-app-{name} for properties", name)
			}
		}
	}
	return m, nil
}

func sorted(h http.Header) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// setSystem sets a system property; false: there is none of this name.
func setSystem(m *c2d.Message, name, value string) (known bool, err error) {
	switch name {
	case "messageid":
		m.MessageID = value
	case "correlationid":
		m.CorrelationID = value
	case "userid":
		m.UserID = value
	case "contenttype":
		m.ContentType = value
	case "contentencoding":
		m.ContentEncoding = value
	case "ack":
		m.Ack = c2d.Ack(strings.ToLower(value))
	case "expiry", "expirytimeutc":
		m.Expires, err = timeOf(name, value)
	case "creationtimeutc":
		m.Created, err = timeOf(name, value)
	case "to", "locktoken": // say nothing that the path does not
	default:
		return false, nil
	}
	return true, err
}

func timeOf(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t, err = http.ParseTime(text)
	}
	if year := t.UTC().Year(); err != nil || year < 1 || year > 9999 {
		return time.Time{}, hub.Errorf(hub.ArgumentInvalid, "the header iothub-%s is %q: it must be a time such as 2026-11-21T08:00:00Z", name, clip(text))
	}
	return t.UTC(), nil
}

// purgeMessages answers DELETE /devices/{id}/commands.
func (s *Server) purgeMessages(c *call) (reply, error) {
	r, err := s.Registry.Get(c.ctx(), c.id)
	if err != nil {
		return reply{}, err
	}
	n, err := s.Messages.Purge(c.ctx(), r.ID.Device)
	if err != nil {
		return reply{}, err
	}
	return reply{body: struct {
		Count  int     `json:"totalMessagesPurged"`
		Device string  `json:"deviceId"`
		Module *string `json:"moduleId"` // always null
	}{Count: n, Device: r.ID.Device}}, nil
}
