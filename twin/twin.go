package twin

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Twin is the twin of one device or module. It is a value: an operation
// returns another one and leaves this one as it is, so that it may be read from
// any goroutine. Its JSON is what IoT Hub's service API prints, without what
// the registry and the sessions know (status, connectionState and the like).
type Twin struct {
	ID hub.Identity
	// ETag changes with tags and desired properties, and not with reported
	// ones: base64 of a counter of 8 bytes.
	ETag string
	// Version counts all writes. A new twin has 2, as in IoT Hub.
	Version int64
	// Generation is that of the identity: a device that is deleted and created
	// again has another twin. It is not in the JSON.
	Generation string
	// Revision is the store's number of the last write, for compare-and-set. It
	// is not in the JSON; 0: never stored.
	Revision uint64
	// Epoch is that of the newest connection of the device that has written the
	// twin, or has fenced it; 0: none. It is not in the JSON.
	Epoch uint64

	tags, desired, reported section
}

// section is tags, desired or reported. Tags have no version.
type section struct {
	root    *value
	version int64
}

// New is the twin that an identity has from its creation: empty.
func New(id hub.Identity, generation string, created time.Time) Twin {
	root := newObject(nil, mark{ticks: ticksOf(created)})
	return Twin{
		ID: id, ETag: etagOf(1), Version: 2, Generation: generation,
		tags: section{root: root}, desired: section{root, 1}, reported: section{root, 1},
	}
}

// DesiredVersion is properties.desired.$version.
func (t Twin) DesiredVersion() int64 { return t.desired.version }

// ReportedVersion is properties.reported.$version.
func (t Twin) ReportedVersion() int64 { return t.reported.version }

// Sizes are the sizes of the sections, counted as the limits [MaxTags],
// [MaxDesired] and [MaxReported] count.
type Sizes struct {
	Tags     int `json:"tags"`
	Desired  int `json:"desired"`
	Reported int `json:"reported"`
}

// Sizes returns how big the sections are.
func (t Twin) Sizes() Sizes {
	return Sizes{t.tags.root.size, t.desired.root.size, t.reported.root.size}
}

// Device is the twin as its device gets it:
// {"desired":{…,"$version":n},"reported":{…,"$version":m}}.
func (t Twin) Device() []byte {
	desired, _ := t.desired.root.length()
	reported, _ := t.reported.root.length()
	dst := make([]byte, 0, desired+reported+frameLength)
	dst = append(dst, `{"desired":`...)
	dst = appendVersioned(dst, t.desired.root, t.desired.version)
	dst = append(dst, `,"reported":`...)
	dst = appendVersioned(dst, t.reported.root, t.reported.version)
	return append(dst, '}')
}

// frameLength is what is around the sections of a document at most, but for the
// id and the tags.
const frameLength = 256

// Desired is all desired properties with their $version, in the form of a
// notification.
func (t Twin) Desired() Notification {
	return Notification{t.desired.version, appendVersioned(nil, t.desired.root, t.desired.version)}
}

// Notification is a change of desired properties as the device is told of it.
type Notification struct {
	// Version is the $version that the change has made; it is in Body too, and
	// the topic must have it.
	Version int64
	// Body is {…,"$version":n}, with null for what is deleted.
	Body []byte
}

// The etag of a twin is base64 of a counter of 8 bytes, as in IoT Hub.

func etagOf(n uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, n))
}

func nextETag(etag string) string {
	b, err := base64.StdEncoding.DecodeString(etag)
	if err != nil || len(b) != 8 {
		return etagOf(1)
	}
	return etagOf(binary.BigEndian.Uint64(b) + 1)
}
