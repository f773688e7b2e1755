package twin

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Patch is what a request says, checked against all rules but those of the
// size of sections. It never changes, and may be applied more than once.
type Patch struct {
	tags, desired, reported *value // nil: not in the request
}

// ParseReported reads what a device sends: a JSON object to merge into its
// reported properties. $version and $metadata at its top are passed over, as
// devices send back what they got. It fails with ArgumentInvalid, and with
// MessageTooLarge beyond [MaxBody].
func ParseReported(body []byte) (Patch, error) {
	var p Patch
	err := read(body, func(r *reader) (err error) {
		p.reported, err = r.section()
		return err
	})
	return p, err
}

// ParseUpdate reads what a back end sends:
// {"tags":{…},"properties":{"desired":{…}}}, both to merge or both in place of
// what is there. All else that IoT Hub prints of a twin is passed over, as back
// ends send back what they got. It fails with ArgumentInvalid, also when there
// is neither tags nor desired, and with MessageTooLarge beyond [MaxBody].
func ParseUpdate(body []byte) (Patch, error) {
	var p Patch
	err := read(body, func(r *reader) error {
		return r.members(func(key string) (err error) {
			switch key {
			case "tags":
				p.tags, err = r.section()
			case "properties":
				p.desired, err = r.update()
			default:
				err = r.skip()
			}
			return err
		})
	})
	if err == nil && p.tags == nil && p.desired == nil {
		err = hub.Errorf(hub.ArgumentInvalid, `the body names neither tags nor properties.desired, and nothing else of a twin can be written: send {"tags":{…}} or {"properties":{"desired":{…}}}`)
	}
	return p, err
}

func (r *reader) update() (desired *value, err error) {
	err = r.members(func(key string) (err error) {
		if key != "desired" {
			return r.skip()
		}
		desired, err = r.section()
		return err
	})
	return desired, err
}

// Op is what happened to a twin, by IoT Hub's name of it.
type Op string

// The operations (Microsoft's page "non-telemetry event schemas", opType).
const (
	OpUpdate  Op = "updateTwin"
	OpReplace Op = "replaceTwin"
)

// EventSource and EventSchema are IoT Hub's annotation iothub-message-source
// and property iothub-message-schema of an event about a twin.
const (
	EventSource = "twinChangeEvents"
	EventSchema = "twinChangeNotification"
)

// Change is a write of a twin, for those who want to know.
type Change struct {
	Op Op
	// By is who wrote: the identity itself, or what a back end calls itself.
	// Nobody has checked the latter.
	By string
	// Time is when, in UTC.
	Time time.Time
	// Event is the body of IoT Hub's event: of an update what has changed with
	// its metadata, of a replacement the whole twin.
	Event []byte
	// Desired is what the device is told. Its Version is 0 when desired
	// properties were not written.
	Desired Notification
	// Reported says that the device wrote.
	Reported bool
}

// Patch merges p into the twin. ifMatch is an etag, with or without quotes, or
// * or nothing for any; PreconditionFailed says that the twin has another one.
// A section that grows beyond its limit fails with ArgumentInvalid.
func (t Twin) Patch(p Patch, ifMatch string, now time.Time) (Twin, Change, error) {
	if err := t.matches(ifMatch); err != nil {
		return Twin{}, Change{}, err
	}
	next, at := t.next(now)
	if p.tags != nil {
		next.tags.root = merge(t.tags.root, p.tags, mark{ticks: at})
	}
	if p.desired != nil {
		next.desired.version++
		next.desired.root = merge(t.desired.root, p.desired, mark{ticks: at, version: next.desired.version})
	}
	if err := next.checkSizes(); err != nil {
		return Twin{}, Change{}, err
	}
	c := Change{Op: OpUpdate, Time: at.time(), Event: next.event(p, at)}
	if p.desired != nil {
		c.Desired = Notification{next.desired.version, appendVersioned(nil, p.desired, next.desired.version)}
	}
	return next, c, nil
}

// Replace puts p in place of tags and desired properties; what p does not name
// becomes empty. ifMatch and errors are as in [Twin.Patch].
func (t Twin) Replace(p Patch, ifMatch string, now time.Time) (Twin, Change, error) {
	if err := t.matches(ifMatch); err != nil {
		return Twin{}, Change{}, err
	}
	next, at := t.next(now)
	next.desired.version++
	next.tags.root = merge(nil, orEmpty(p.tags), mark{ticks: at})
	next.desired.root = merge(nil, orEmpty(p.desired), mark{ticks: at, version: next.desired.version})
	if err := next.checkSizes(); err != nil {
		return Twin{}, Change{}, err
	}
	told := diff(t.desired.root, next.desired.root)
	return next, Change{
		Op: OpReplace, Time: at.time(), Event: next.AppendJSON(nil),
		Desired: Notification{next.desired.version, appendVersioned(nil, told, next.desired.version)},
	}, nil
}

// PatchReported merges what the device sent, see [ParseReported], into its
// reported properties. ifVersion, unless it is 0, is the $version that they
// must still have; it fails with PreconditionFailed otherwise, and with
// TooManyProperties when they grow beyond [MaxReported].
func (t Twin) PatchReported(p Patch, ifVersion int64, now time.Time) (Twin, Change, error) {
	if ifVersion != 0 && ifVersion != t.reported.version {
		return Twin{}, Change{}, hub.Errorf(hub.PreconditionFailed, "the reported properties of %s have the version %d and no longer %d", t.ID, t.reported.version, ifVersion)
	}
	next, at := t.next(now)
	next.ETag = t.ETag
	next.reported.version++
	next.reported.root = merge(t.reported.root, orEmpty(p.reported), mark{ticks: at})
	if err := reportedPart().check(next.reported.root); err != nil {
		return Twin{}, Change{}, err
	}
	return next, Change{
		Op: OpUpdate, By: t.ID.String(), Time: at.time(), Event: next.event(p, at), Reported: true,
	}, nil
}

func orEmpty(v *value) *value {
	if v == nil {
		return newObject(nil, mark{})
	}
	return v
}

// next is the twin with the version and the etag of its next write. Time does
// not go back, also when a clock does.
func (t Twin) next(now time.Time) (Twin, ticks) {
	next := t
	next.Version++
	next.ETag = nextETag(t.ETag)
	at := max(ticksOf(now), t.desired.root.mark.ticks, t.reported.root.mark.ticks)
	return next, at
}

func (t Twin) checkSizes() error {
	if err := tagsPart().check(t.tags.root); err != nil {
		return err
	}
	return desiredPart().check(t.desired.root)
}

// matches compares an If-Match with the etag.
func (t Twin) matches(ifMatch string) error {
	etag := strings.TrimSpace(ifMatch)
	if strings.HasPrefix(etag, `"`) && strings.HasSuffix(etag, `"`) && len(etag) > 1 {
		etag = etag[1 : len(etag)-1]
	}
	if etag == "" || etag == "*" || etag == t.ETag {
		return nil
	}
	return hub.Errorf(hub.PreconditionFailed, "the twin of %s has been changed: its etag is %s, and not the one that was given", t.ID, t.ETag)
}

// event is the body of the event about an update: what p names, marked.
func (t Twin) event(p Patch, at ticks) []byte {
	const usual = 512 // bytes, which most events stay within
	dst := append(make([]byte, 0, usual), `{"version":`...)
	dst = strconv.AppendInt(dst, t.Version, 10)
	if p.tags != nil {
		dst = append(dst, `,"tags":`...)
		dst = appendValue(dst, p.tags)
	}
	if p.desired == nil && p.reported == nil {
		return append(dst, '}')
	}
	dst = append(dst, `,"properties":{`...)
	if p.desired != nil {
		dst = append(dst, `"desired":`...)
		dst = appendSection(dst, p.desired, t.desired.version, &mark{ticks: at, version: t.desired.version})
	}
	if p.reported != nil {
		dst = append(dst, `"reported":`...)
		dst = appendSection(dst, p.reported, t.reported.version, &mark{ticks: at})
	}
	return append(dst, '}', '}')
}

// Equal reports whether two twins are the same document: equal JSON.
func (t Twin) Equal(u Twin) bool {
	return bytes.Equal(t.AppendJSON(nil), u.AppendJSON(nil))
}
