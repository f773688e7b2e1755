package client_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/trust/trusttest"
)

func TestAuthorities(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	if _, err := b.ServeAuthorities(&trust.Registry{Store: b.Authorities()}); err != nil {
		t.Fatal(err)
	}
	ctx, all, root := testContext(t), c.Authorities(), trusttest.Root(t, "root")
	added, err := all.Add(ctx, trust.Authority{Name: "plant", Certificate: root.Cert.Raw})
	if err != nil || added.Verified {
		t.Fatalf("Add: %+v, %v", added, err)
	}
	coded, err := all.NewCode(ctx, "plant")
	if err != nil || coded.VerificationCode == "" {
		t.Fatalf("NewCode: %v", err)
	}
	if _, err := all.Verify(ctx, "plant", []byte("x")); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("Verify by garbage: %v", err)
	}
	if _, err := all.Verify(ctx, "plant", root.Leaf(t, coded.VerificationCode).PEM()); err != nil {
		t.Errorf("Verify: %v", err)
	}
	got, err := all.Get(ctx, "plant")
	if err != nil || !got.Verified {
		t.Errorf("Get: %+v, %v", got, err)
	}
	if _, err := all.Replace(ctx, trust.Authority{Name: "plant", Certificate: root.Cert.Raw}, "MA=="); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("Replace with a stale etag: %v", err)
	}
	if _, err := all.Replace(ctx, trust.Authority{Name: "plant", Certificate: root.Cert.Raw}, got.ETag()); err != nil {
		t.Errorf("Replace with the etag of Get: %v", err)
	}
	if list, err := all.List(ctx); err != nil || len(list) != 1 || list[0].Name != "plant" {
		t.Errorf("List: %+v, %v", list, err)
	}
	if err := all.Delete(ctx, "plant", "*"); err != nil {
		t.Errorf("Delete: %v", err)
	}
	if _, err := all.Get(ctx, "plant"); hub.CodeOf(err) != hub.CertificateNotFound {
		t.Errorf("Get of the deleted: %v", err)
	}
}

// A hub may have more authorities than a message of NATS has room for.
func TestManyAuthorities(t *testing.T) {
	t.Parallel()
	b, c := hubAndClient(t)
	if _, err := b.ServeAuthorities(&trust.Registry{Store: b.Authorities()}); err != nil {
		t.Fatal(err)
	}
	const many = 80
	ctx, root := testContext(t), trusttest.Root(t, strings.Repeat("r", 5000))
	for i := range many {
		a := trust.Authority{Name: fmt.Sprintf("plant%02d", i), Certificate: root.Cert.Raw, Verified: true}
		if _, err := b.Authorities().Write(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	list, err := c.Authorities().List(ctx)
	if err != nil || len(list) != many {
		t.Fatalf("%d of %d authorities, %v", len(list), many, err)
	}
	for i, a := range list {
		if want := fmt.Sprintf("plant%02d", i); a.Name != want {
			t.Errorf("authority %d is %s, want %s", i, a.Name, want)
		}
	}
}
