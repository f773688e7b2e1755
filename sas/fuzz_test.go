package sas

import (
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

func FuzzConnectionString(f *testing.F) {
	f.Add("HostName=h.x;DeviceId=d;SharedAccessKey=AAAA=")
	f.Add("HostName=h.x;DeviceId=d;ModuleId=m;x509=TRUE;GatewayHostName=g;")
	f.Add("HostName=h.x;SharedAccessKeyName=p;SharedAccessSignature=SharedAccessSignature sr=h&sig=s&se=1")
	f.Add(" ;HostName==;=;DeviceId")
	f.Add("HostName= ;")
	f.Add("HostName=h\xa0\x85;x509=fal\u017fe;;")
	f.Add("HostName=h;x509=FALSE;SharedAccessKey==\u0000")
	f.Add("\u2028HostName=\ufeff;DeviceId=\u180e;\u3000")
	f.Add("HostName=h;" + strings.Repeat("\U0010FFFF", 24) + "=x")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseConnectionString(s)
		if err != nil {
			if hub.CodeOf(err) != hub.ArgumentInvalid || len(err.Error()) > 500 {
				t.Errorf("%v: code %d, %d bytes", err, hub.CodeOf(err), len(err.Error()))
			}
			return
		}
		if again, err := ParseConnectionString(c.String()); err != nil || again != c {
			t.Errorf("%q is %+v, and %q is %+v, %v", s, c, c.String(), again, err)
		}
	})
}

// FuzzSign makes a token for an identity and looks whom it is good for. Ids have
// a % in them nowhere, for what is encoded twice names two of those.
func FuzzSign(f *testing.F) {
	f.Add("h.x", "dev1", "", "dev10", "", "policy")
	f.Add("h.x:8883", "Dev", "Mod", "dev", "mod", "")
	f.Add("h", "a+b", "$edgeHub", "a b", "modules", "p")
	f.Add("\xff\n+ &sr=", "a", "m", "A", "M", "")
	f.Add("\u212a", "devices", "modules", "devices", "", "%2525")
	f.Add("h:1", "d", "", "d", "modules", "\xff")
	f.Fuzz(func(t *testing.T, host, device, module, otherDevice, otherModule, policy string) {
		id, other := hub.Identity{Device: device, Module: module}, hub.Identity{Device: otherDevice, Module: otherModule}
		for _, i := range []hub.Identity{id, other} {
			if !hub.ValidID(i.Device) || (i.IsModule() && !hub.ValidID(i.Module)) || strings.Contains(i.String(), "%") {
				return
			}
		}
		if host == "" || strings.ContainsAny(host, "/%") {
			return
		}
		key := []byte("the key")
		token, err := Parse(Sign(Resource(host, id), key, time.Unix(1<<31, 0), policy))
		if err != nil {
			t.Fatal(err)
		}
		if !token.SignedBy(key) || token.SignedBy([]byte("another")) || token.Policy != policy || token.Host() != host {
			t.Fatalf("%+v", token)
		}
		if !token.Covers(host, id) {
			t.Errorf("a token for %s does not cover it", id)
		}
		same := id == other || (policy == "" && strings.EqualFold(id.String(), other.String()))
		if token.Covers(host, other) != same {
			t.Errorf("a token for %s, policy %q, covers %s", id, policy, other)
		}
		if token.Covers(host+"x", id) {
			t.Error("a token covers another host")
		}
	})
}
