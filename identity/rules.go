package identity

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// The lengths in bytes that IoT Hub allows for a key, and that of a new one.
const (
	minKeyLength = 16
	maxKeyLength = 64
	newKeyLength = 32
)

// maxReason is the longest statusReason, in bytes.
const maxReason = 128

func checkID(id hub.Identity) error {
	switch {
	case !hub.ValidID(id.Device):
		return hub.Errorf(hub.ArgumentInvalid, "%q is no device id: use 1 to %d characters of A-Z a-z 0-9 and -:.+%%_#*?!(),=@;$'", id.Device, hub.MaxIDLength)
	case id.IsModule() && (!hub.ValidID(id.Module) || strings.HasPrefix(id.Module, "$")):
		return hub.Errorf(hub.ArgumentInvalid, "%q is no module id: use 1 to %d characters of A-Z a-z 0-9 and -:.+%%_#*?!(),=@;$', and no $ in front", id.Module, hub.MaxIDLength)
	}
	return nil
}

// complete fills in defaults and refuses what breaks a rule.
func complete(r *Record) error {
	if err := completeStatus(r); err != nil {
		return err
	}
	a := &r.Authentication
	switch a.Type {
	case "":
		a.Type = AuthSAS
	case AuthSAS, AuthSelfSigned, AuthCA:
	case AuthNone:
		if !r.ID.IsModule() {
			return hub.Errorf(hub.ArgumentInvalid, "a device can't have the authentication type none")
		}
		a.Type = AuthSAS
	default:
		return hub.Errorf(hub.ArgumentInvalid, "there is no authentication type %q: use sas, selfSigned or certificateAuthority", a.Type)
	}
	if err := checkThumbprints(a.X509Thumbprint); err != nil {
		return err
	}
	return completeKeys(a)
}

func completeStatus(r *Record) error {
	if r.ID.IsModule() {
		r.Status, r.StatusReason, r.Edge = "", "", false
		return nil
	}
	r.ManagedBy = ""
	switch r.Status {
	case "":
		r.Status = StatusEnabled
	case StatusEnabled, StatusDisabled:
	default:
		return hub.Errorf(hub.ArgumentInvalid, "there is no status %q: use enabled or disabled", r.Status)
	}
	if len(r.StatusReason) > maxReason {
		return hub.Errorf(hub.ArgumentInvalid, "the status reason has %d bytes; it may have %d", len(r.StatusReason), maxReason)
	}
	return nil
}

// completeKeys makes the keys of an identity that authenticates by them and
// has none; one key alone is refused. Other identities have no keys.
func completeKeys(a *Authentication) error {
	k := &a.SymmetricKey
	if a.Type != AuthSAS {
		*k = SymmetricKey{}
		return nil
	}
	if *k == (SymmetricKey{}) {
		*k = SymmetricKey{newKey(), newKey()}
		return nil
	}
	if k.PrimaryKey == "" || k.SecondaryKey == "" {
		return hub.Errorf(hub.ArgumentInvalid, "give both keys, or none to have them made")
	}
	for _, key := range []string{k.PrimaryKey, k.SecondaryKey} {
		b, err := base64.StdEncoding.DecodeString(key)
		if err != nil || len(b) < minKeyLength || len(b) > maxKeyLength {
			return hub.Errorf(hub.ArgumentInvalid, "a key must be base64 of %d to %d bytes", minKeyLength, maxKeyLength)
		}
	}
	return nil
}

func checkThumbprints(t Thumbprints) error {
	const sha1Length, sha256Length = 40, 64
	for _, s := range []string{t.PrimaryThumbprint, t.SecondaryThumbprint} {
		if s == "" {
			continue
		}
		if _, err := hex.DecodeString(s); err != nil || (len(s) != sha1Length && len(s) != sha256Length) {
			return hub.Errorf(hub.ArgumentInvalid, "a thumbprint must be %d or %d hexadecimal digits without separators", sha1Length, sha256Length)
		}
	}
	return nil
}

func newKey() string {
	key := make([]byte, newKeyLength)
	_, _ = rand.Read(key) // never fails; see crypto/rand
	return base64.StdEncoding.EncodeToString(key)
}

// generations makes generation ids: the time in .NET ticks of 100 ns since
// the year 1, as IoT Hub has them, no two alike.
type generations struct {
	mu   sync.Mutex
	last int64
}

// ticksAt1970 is the .NET tick count of the Unix epoch.
const ticksAt1970 = 621355968000000000

func (g *generations) next(now time.Time) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.last = max(g.last+1, ticksAt1970+now.UnixNano()/100)
	return strconv.FormatInt(g.last, 10)
}

// An etag is a decimal counter in base64, as the real hub's is: it begins
// anywhere and goes up by one.

func firstETag() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<30))
	if err != nil {
		n = big.NewInt(0) // never: see crypto/rand
	}
	return etagOf(n.Int64())
}

func nextETag(etag string) string {
	b, _ := base64.StdEncoding.DecodeString(etag)
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return etagOf(n + 1)
}

func etagOf(n int64) string {
	return base64.StdEncoding.EncodeToString([]byte(strconv.FormatInt(n, 10)))
}
