package backend

import (
	"sync/atomic"
	"testing"

	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

// makeAnew removes the stream of a bucket and makes it again, empty.
func makeAnew(t *testing.T, b *Backbone, bucket string) {
	t.Helper()
	ctx := testContext(t)
	s, err := b.js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.js.DeleteStream(ctx, "KV_"+bucket); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateStream(ctx, s.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
}

// A bucket that is removed and made anew under a running node is heard of, whatever its
// revisions are: what was in the old one is gone.
func TestPoliciesFollowANewBucket(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	makeAnew(t, b, b.names.PolicyBucket())
	fresh := sas.DefaultPolicies()[0]
	if err := b.Policies().Put(testContext(t), fresh); err != nil {
		t.Fatal(err)
	}
	until(t, "the one policy of the new bucket", func() bool {
		got, ok := b.Policies().Lookup(fresh.Name)
		return ok && got == fresh && len(b.Policies().All()) == 1
	})
}

// The same for the changes of identities, which cut connections.
func TestIdentitiesFollowANewBucket(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	r := create(t, b, device(1))
	var heard atomic.Pointer[identity.Change]
	go func() {
		_ = b.Devices().Watch(ctx, func(c identity.Change) { heard.Store(&c) })
	}()
	until(t, "the watch hears", func() bool { // of nothing before its begin
		var err error
		if r.Revision, err = b.Devices().Update(ctx, r); err != nil {
			t.Fatal(err)
		}
		return heard.Load() != nil
	})
	makeAnew(t, b, b.names.DeviceBucket())
	create(t, b, device(2))
	want := device(2)
	until(t, "the identity of the new bucket", func() bool { c := heard.Load(); return c != nil && c.ID == want })
}
