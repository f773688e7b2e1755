package simulate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// SDK names whose device a simulated one behaves like.
type SDK string

// The SDKs that are simulated. Mixed gives one third of the fleet to each.
const (
	Mixed  SDK = "mixed"
	Node   SDK = "node"
	Python SDK = "python"
	C      SDK = "c"
)

// filter is a subscription of a device; %s in it is the device id.
type filter struct {
	topic string
	qos   byte
}

// shape is how the devices of one SDK behave on the wire.
type shape struct {
	sdk       SDK
	options   string // of the user name, behind host and device id
	keepAlive time.Duration

	first [][]filter // the SUBSCRIBE packets of an application that starts
	again [][]filter // those after a connection was lost: some SDKs do not subscribe again

	talkQoS byte   // of twin requests and answers to methods
	getBody string // of a twin GET
	bag     func(messageID string) string
	token   func(host string, id hub.Identity, key []byte, expiry time.Time) string
	rid     func(r *rand.Rand) string // of a twin request

	// renewal is how long after the connect a token that is valid for ttl is
	// replaced, by a new connection.
	renewal func(ttl time.Duration) time.Duration
	// pause is how long to wait before try n, from 2 on: the first is made at
	// once. code is that of the CONNACK that has refused the last one, or 0.
	pause func(n int, code byte, r *rand.Rand) time.Duration
}

// The filters that the SDKs subscribe to.
const (
	mailFilter    = "devices/%s/messages/devicebound/#"
	methodFilter  = "$iothub/methods/POST/#"
	twinFilter    = "$iothub/twin/res/#"
	desiredFilter = "$iothub/twin/PATCH/properties/desired/#"
)

// one is filters in a SUBSCRIBE packet each.
func one(all ...filter) [][]filter {
	packets := make([][]filter, len(all))
	for i, f := range all {
		packets[i] = []filter{f}
	}
	return packets
}

// shapesOf returns the shapes of which a fleet has equal shares.
func shapesOf(sdk SDK) []*shape {
	switch sdk {
	case Node:
		return []*shape{nodeShape()}
	case Python:
		return []*shape{pythonShape()}
	case C:
		return []*shape{cShape()}
	case Mixed:
		fallthrough
	default:
		return []*shape{nodeShape(), pythonShape(), cShape()}
	}
}

// nodeShape is azure-iot-device 1.18. It subscribes again after a loss, but not
// to twins.
func nodeShape() *shape {
	return &shape{
		sdk:       Node,
		options:   "?api-version=2021-04-12&DeviceClientType=azure-iot-device%2F1.18.4%20(node%20v20.20.2%3B%20Debian%2012%3B%20x64)",
		keepAlive: 180 * time.Second,
		first:     one(filter{mailFilter, 1}, filter{methodFilter, 0}, filter{twinFilter, 0}, filter{desiredFilter, 0}),
		again:     one(filter{methodFilter, 0}, filter{mailFilter, 1}),
		getBody:   " ",
		bag: func(messageID string) string {
			return "%24.mid=" + messageID + "&%24.ct=application%2Fjson&%24.ce=utf-8&level=info"
		},
		token:   encodedToken,
		rid:     uuid,
		renewal: func(ttl time.Duration) time.Duration { return max(ttl-15*time.Minute, ttl/2) },
		pause:   nodePause,
	}
}

// pythonShape is azure-iot-device-iothub-py 2.14. It never subscribes again.
func pythonShape() *shape {
	return &shape{
		sdk:       Python,
		options:   "?api-version=2019-10-01&DeviceClientType=azure-iot-device-iothub-py%2F2.14.0%283.11.7%3BLinux%3Bx86_64%29",
		keepAlive: 60 * time.Second,
		first:     one(filter{mailFilter, 1}, filter{methodFilter, 1}, filter{desiredFilter, 1}, filter{twinFilter, 1}),
		talkQoS:   1,
		getBody:   " ",
		bag: func(messageID string) string {
			return "%24.mid=" + messageID + "&%24.ct=application%2Fjson&%24.ce=utf-8&level=info"
		},
		token:   encodedToken,
		rid:     uuid,
		renewal: func(ttl time.Duration) time.Duration { return max(ttl-2*time.Minute, ttl/2) },
		// connection_retry_interval, which has no jitter.
		pause: func(int, byte, *rand.Rand) time.Duration { return 10 * time.Second },
	}
}

// cShape is iothubclient 1.15. It packs its filters, and escapes nothing.
func cShape() *shape {
	return &shape{
		sdk:       C,
		options:   "?api-version=2020-09-30&DeviceClientType=iothubclient%2f1.15.0%20(native%3b%20Linux%3b%20x86_64)",
		keepAlive: 240 * time.Second,
		first:     [][]filter{{{mailFilter, 1}, {twinFilter, 0}, {methodFilter, 0}}, {{desiredFilter, 0}}},
		again:     [][]filter{{{mailFilter, 1}, {twinFilter, 0}, {desiredFilter, 0}, {methodFilter, 0}}},
		bag: func(messageID string) string {
			return "level=info&%24.mid=" + messageID + "&%24.ct=application/json&%24.ce=utf-8"
		},
		token:   rawToken,
		rid:     func(r *rand.Rand) string { return strconv.Itoa(3 + r.IntN(65_000)) },
		renewal: func(ttl time.Duration) time.Duration { return ttl * 4 / 5 },
		pause:   cPause,
	}
}

// encodedToken is a token whose resource is percent-encoded whole.
func encodedToken(host string, id hub.Identity, key []byte, expiry time.Time) string {
	return sas.Sign(sas.Resource(host, id), key, expiry, "")
}

// rawToken is one whose resource is as it is, and signed so, with escapes in
// lower case.
func rawToken(host string, id hub.Identity, key []byte, expiry time.Time) string {
	resource, se := sas.Resource(host, id), strconv.FormatInt(expiry.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(resource + "\n" + se))
	sig := strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return "SharedAccessSignature sr=" + resource + "&sig=" + sig + "&se=" + se
}

func uuid(r *rand.Rand) string {
	a, b := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>52, b&(1<<48-1))
}

// nodePause is nextRetryTimeout of common/core/src/retry_policy.ts, which has a
// square where its comment has a power of two.
func nodePause(n int, code byte, r *rand.Rand) time.Duration {
	unit, least, most := 100*time.Millisecond, 100*time.Millisecond, 10*time.Second
	if code != 0 { // throttled
		unit, least, most = 5*time.Second, 10*time.Second, time.Minute
	}
	jitter := r.Float64() * 0.25 * float64(unit)
	x := math.Min(float64(n-1), 1000)
	return min(least+time.Duration((x*x-1)*jitter), most)
}

// cPause is EXPONENTIAL_BACKOFF_WITH_JITTER of iothub_client_retry_control.c:
// 1 s, doubled each time up to 30 s, with up to 5 percent more.
func cPause(n int, _ byte, r *rand.Rand) time.Duration {
	const most = 30 * time.Second
	base := most
	if n < 7 {
		base = min(time.Second<<(n-2), most)
	}
	return base + time.Duration(r.Float64()*0.05*float64(base))
}

// userName is that of a device.
func (s *shape) userName(host, device string) string { return host + "/" + device + "/" + s.options }
