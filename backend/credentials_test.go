package backend

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/credential"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/trust/trusttest"
)

func TestCredentialStore(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	s, ctx := b.Credentials(), testContext(t)
	id := hub.Identity{Device: "a.b", Module: "m"}
	op, err := s.Get(ctx, id)
	if err != nil || op.ID != id || op.Revision != 0 {
		t.Fatalf("%+v, %v", op, err)
	}
	op.RID, op.CSR, op.Certificates = "r-1", []byte{1, 2}, [][]byte{{3}, {4}}
	op.Expires = time.Now().Add(time.Hour).Truncate(time.Millisecond).UTC()
	if op.Revision, err = s.Put(ctx, op); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(ctx, id)
	if err != nil || got.RID != "r-1" || string(got.CSR) != "\x01\x02" || len(got.Certificates) != 2 || !got.Expires.Equal(op.Expires) || got.Revision != op.Revision || got.ID != id {
		t.Errorf("%+v, %v", got, err)
	}
	for name, stale := range map[string]uint64{"another": op.Revision + 1, "none": 0} {
		op.Revision = stale
		if _, err := s.Put(ctx, op); hub.CodeOf(err) != hub.PreconditionFailed {
			t.Errorf("revision %s: %v", name, err)
		}
	}
	if _, err := s.bucket.kv.Put(ctx, "x", []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	op, err = s.Get(ctx, hub.Identity{Device: "x"})
	if err != nil || op.RID != "" || op.Revision == 0 {
		t.Errorf("a damaged one: %+v, %v", op, err)
	}
	if cfg := info(t, b, "KV_hub_credentials"); cfg.MaxAge != credential.Lifetime {
		t.Errorf("it is kept for %v", cfg.MaxAge)
	}
}

// An operation that JetStream has forgotten makes room for the next one.
func TestCredentialStoreForgets(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	s, ctx := b.Credentials(), testContext(t)
	op := credential.Operation{ID: hub.Identity{Device: "d"}, RID: "r-1"}
	if _, err := s.Put(ctx, op); err != nil {
		t.Fatal(err)
	}
	if err := s.bucket.remove(ctx, "d", 0); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(ctx, op.ID)
	if err != nil || got.RID != "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := s.Put(ctx, got); err != nil {
		t.Error(err)
	}
}

func TestIssuedEvent(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	sub, err := b.Conn().SubscribeSync("hub.events.lifecycle.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	cert := trusttest.Root(t, "root").Leaf(t, "d").Cert
	for _, id := range []hub.Identity{{Device: "d"}, {Device: "d", Module: "m"}} {
		b.Events().Issued(credential.Operation{ID: id, Generation: "g", RID: "r-1", CorrelationID: "c"}, cert)
		m, err := sub.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		want := "issueDeviceCertificate"
		if id.IsModule() {
			want = "issueModuleCertificate"
		}
		if m.Header.Get("opType") != want {
			t.Errorf("opType %s, want %s", m.Header.Get("opType"), want)
		}
		var body map[string]any
		if err := json.Unmarshal(m.Data, &body); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(cert.Raw)
		if body["thumbprint"] != strings.ToUpper(hex.EncodeToString(sum[:])) || body["requestId"] != "r-1" || body["issuer"] != "CN=root" ||
			body["notAfter"] != cert.NotAfter.UTC().Format(time.RFC3339) || body["serialNumber"] != cert.SerialNumber.Text(16) {
			t.Errorf("%s", m.Data)
		}
	}
}
