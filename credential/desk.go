package credential

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// How many requests of one identity are accepted in a while. Refused ones do
// not count, nor does the same one again.
const (
	most  = 5
	while = 10 * time.Minute
)

// races is how often a write is tried when others write at the same time.
const races = 3

// Desk takes the requests of devices and issues what they ask for. Set its
// fields before use; it is safe for concurrent use.
type Desk struct {
	Issuer *Issuer // nil: nothing is issued
	Store  Store
	Now    func() time.Time // nil: time.Now
}

// Check reports, as CredentialUnready, that the hub can't issue.
func (d *Desk) Check() error {
	if d == nil || d.Issuer == nil {
		return hub.Errorf(hub.CredentialUnready, "this hub issues no certificates: give it an authority with tls.issuer_cert_file and tls.issuer_key_file")
	}
	return d.Issuer.check(d.now())
}

// Accept takes what the identity id, of that generation, asks for with the
// request id rid. What it returns is stored: it survives this process. The same
// request again is the same operation, also when it has been answered. The
// error is a *hub.Error or a *Refusal.
func (d *Desk) Accept(ctx context.Context, id hub.Identity, generation, rid string, body []byte) (Operation, error) {
	if err := d.Check(); err != nil {
		return Operation{}, err
	}
	r, err := parseRequest(id, rid, body)
	if err != nil {
		return Operation{}, err
	}
	for range races {
		op, err := d.accept(ctx, id, generation, r)
		if hub.CodeOf(err) != hub.PreconditionFailed || isRefusal(err) {
			return op, err
		}
	}
	return Operation{}, hub.Errorf(hub.ServiceUnavailable, "several requests of %s came at the same moment; try again", id)
}

func isRefusal(err error) bool {
	_, ok := errors.AsType[*Refusal](err)
	return ok
}

func (d *Desk) accept(ctx context.Context, id hub.Identity, generation string, r request) (Operation, error) {
	old, err := d.current(ctx, id, generation)
	if err != nil {
		return Operation{}, err
	}
	now := d.now()
	if old.isAnswerTo(r, now) {
		return old, nil
	}
	if err := admit(old, r, now); err != nil {
		return Operation{}, err
	}
	op := Operation{
		ID: id, Generation: generation, RID: r.rid, CorrelationID: newID(), Digest: r.digest[:], CSR: r.csr,
		Accepted: now, Expires: now.Add(Lifetime).Truncate(time.Millisecond), Revision: old.Revision,
		Recent: append(recent(old.Recent, now), now),
	}
	op.Revision, err = d.Store.Put(ctx, op)
	return op, err
}

// current is the operation of an identity; one of an earlier generation was
// somebody else's.
func (d *Desk) current(ctx context.Context, id hub.Identity, generation string) (Operation, error) {
	op, err := d.Store.Get(ctx, id)
	if err == nil && op.Generation != generation {
		op = Operation{Revision: op.Revision}
	}
	op.ID = id
	return op, err
}

// admit says why a new request can't follow on the operation that there is.
func admit(old Operation, r request, now time.Time) error {
	active := old.active(now)
	switch {
	case active && r.replace == "":
		return &Refusal{Active: &old, Cause: hub.Errorf(hub.CredentialActive, "the request %s of %s is being worked on: wait for its answer, or replace it", old.RID, old.ID)}
	case r.replace != "" && r.replace != replaceAny && !(active && r.replace == old.RID):
		return &Refusal{Cause: hub.Errorf(hub.PreconditionFailed, "the request that is to be replaced is not an active one of %s", old.ID)}
	}
	if times := recent(old.Recent, now); len(times) >= most {
		wait := times[0].Add(while).Sub(now)
		return &Refusal{RetryAfter: wait, Cause: hub.Errorf(hub.CredentialThrottled, "%s has asked for %d certificates within %v: try again in %v", old.ID, most, while, wait.Round(time.Second))}
	}
	return nil
}

// recent is the times that still count.
func recent(times []time.Time, now time.Time) []time.Time {
	return slices.DeleteFunc(slices.Clone(times), func(t time.Time) bool { return now.Sub(t) >= while })
}

// Waiting returns the operation whose answer the identity waits for; an earlier
// connection, or an earlier gateway, has accepted it.
func (d *Desk) Waiting(ctx context.Context, id hub.Identity, generation string) (op Operation, ok bool, err error) {
	if d == nil || d.Store == nil {
		return Operation{}, false, nil
	}
	op, err = d.current(ctx, id, generation)
	return op, err == nil && op.active(d.now()), err
}

// Issue makes the certificates of op, unless they are there, and says whether
// it was this call that made them. It fails with CredentialActive when another
// request has taken the place of op.
func (d *Desk) Issue(ctx context.Context, op Operation) (issued Operation, made bool, err error) {
	if len(op.Certificates) > 0 {
		return op, false, nil
	}
	if err := d.Check(); err != nil {
		return op, false, err
	}
	csr, err := checkCSR(op.CSR, op.ID)
	if err != nil {
		return op, false, err
	}
	next := op
	next.CSR = nil
	if next.Certificates, err = d.Issuer.issue(csr, op.ID, d.now()); err != nil {
		return op, false, err
	}
	next.Revision, err = d.Store.Put(ctx, next)
	if hub.CodeOf(err) == hub.PreconditionFailed {
		next, err = d.successor(ctx, op)
		return next, false, err
	}
	return next, err == nil, err
}

// successor is what stands in the store in place of op: its certificates, if
// another gateway was faster.
func (d *Desk) successor(ctx context.Context, op Operation) (Operation, error) {
	next, err := d.current(ctx, op.ID, op.Generation)
	switch {
	case err != nil:
		return op, err
	case next.CorrelationID == op.CorrelationID && len(next.Certificates) > 0:
		return next, nil
	case next.RID == "":
		return op, hub.Errorf(hub.ServiceUnavailable, "the request of %s is gone; send it again", op.ID)
	default:
		return op, &Refusal{Active: &next, Cause: hub.Errorf(hub.CredentialActive, "the request %s has taken the place of this one", next.RID)}
	}
}

// Close notes that the device has its answer, and may ask again. That somebody
// else has written meanwhile does not matter.
func (d *Desk) Close(ctx context.Context, op Operation) error {
	op.Over, op.CSR = true, nil
	_, err := d.Store.Put(ctx, op)
	if hub.CodeOf(err) == hub.PreconditionFailed {
		return nil
	}
	return err
}

func (d *Desk) now() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}

// newID is a name that nobody else has, in the form of a UUID.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails; see crypto/rand
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
