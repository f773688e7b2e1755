package iothub

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/credential"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// opStore is a credential.Store; before is called ahead of each write.
type opStore struct {
	mu     sync.Mutex
	ops    map[hub.Identity]credential.Operation
	before func(credential.Operation) error
}

func (s *opStore) Get(_ context.Context, id hub.Identity) (credential.Operation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ops[id], nil
}

func (s *opStore) Put(_ context.Context, op credential.Operation) (uint64, error) {
	s.mu.Lock()
	before := s.before
	s.mu.Unlock()
	if before != nil {
		if err := before(op); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ops[op.ID].Revision != op.Revision {
		return 0, hub.Errorf(hub.PreconditionFailed, "revision")
	}
	op.Revision++
	s.ops[op.ID] = op
	return op.Revision, nil
}

func (s *opStore) intercept(before func(credential.Operation) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

func (s *opStore) over(id hub.Identity) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ops[id].Over
}

// prints notes the thumbprints that are added.
type prints struct {
	mu    sync.Mutex
	added []string
	inUse func(string) bool
}

func (p *prints) AddThumbprint(_ context.Context, _ hub.Identity, _ string, inUse func(string) bool, next string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.added, p.inUse = append(p.added, next), inUse
	return nil
}

// office is a plant that issues certificates.
type office struct {
	*plant

	store  *opStore
	prints *prints
	issued chan credential.Operation
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{plant: newPlant(t), store: &opStore{ops: map[hub.Identity]credential.Operation{}}, prints: &prints{}, issued: make(chan credential.Operation, 100)}
	issuer, err := credential.NewIssuer(o.line.PEM(), o.line.KeyPEM(t), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	o.Renewal = &Renewal{
		Desk: &credential.Desk{Issuer: issuer, Store: o.store}, Thumbprints: o.prints,
		Issued: func(op credential.Operation, _ *x509.Certificate) { o.issued <- op },
	}
	return o
}

// connect lets an identity in by certificate, or by token if chain is nil.
func (o *office) connect(t *testing.T, id string, chain []*x509.Certificate, l gateway.Link) *handler {
	t.Helper()
	password := ""
	if chain == nil {
		password = o.token(t, id)
	}
	a, err := o.come(t, id, password, chain)
	if err != nil {
		t.Fatal(err)
	}
	h := a.Handler.(*handler)
	h.Attach(l)
	return h
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// asking is the body of a request, as the C SDK writes it.
func asking(t *testing.T, id, name string, key crypto.Signer, replace string) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"id":"` + id + `","csr":"` + base64.StdEncoding.EncodeToString(der) + `"`
	if replace != "" {
		body += `,"replace":"` + replace + `"`
	}
	return body + "}"
}

func issueTopic(rid string) string { return "$iothub/credentials/POST/issueCertificate/?$rid=" + rid }

// heard is an answer as an SDK reads it.
type heard struct {
	gateway.Message

	CorrelationID string
	Certificates  [][]byte
	ErrorCode     int
	RetryAfter    int
	Info          struct{ RequestID, CredentialError, CredentialMessage, CorrelationID string }
}

// hear waits for the next answer, which must have this status and request id.
func hear(t *testing.T, l *fakeLink, status, rid string) heard {
	t.Helper()
	select {
	case m := <-l.sent:
		a := heard{Message: m}
		if want := "$iothub/credentials/res/" + status + "/?$rid=" + rid; m.Topic != want {
			t.Fatalf("answer on %s, want %s: %s", m.Topic, want, m.Payload)
		}
		if err := json.Unmarshal(m.Payload, &a); err != nil {
			t.Fatal(err)
		}
		return a
	case <-time.After(30 * time.Second):
		t.Fatalf("no answer %s to %s", status, rid)
		return heard{}
	}
}

func (o *office) wantOver(t *testing.T, id string) {
	t.Helper()
	of, err := hub.ParseIdentity(id)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); !o.store.over(of); {
		if time.Now().After(end) {
			t.Fatalf("the operation of %s is not over", id)
		}
		<-time.After(time.Millisecond)
	}
}

// A device by CA, and a module, get certificates with which they are let in.
func TestRenewByAuthority(t *testing.T) {
	for _, id := range []string{"ca", "ca/mod"} {
		o := newOffice(t)
		l := newLink(filterCredentials)
		h := o.connect(t, id, o.root.Leaf(t, id).Chain(), l)
		ask(t, h, issueTopic("5b7c-1"), asking(t, id, id, newKey(t), ""))
		accepted := hear(t, l, "202", "5b7c-1")
		done := hear(t, l, "200", "5b7c-1")
		if done.CorrelationID == "" || done.CorrelationID != accepted.CorrelationID || len(done.Certificates) != 2 || done.QoS != 1 || accepted.QoS != 0 {
			t.Errorf("%+v then %+v", accepted, done)
		}
		var chain []*x509.Certificate
		for _, der := range done.Certificates {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, c)
		}
		o.connect(t, id, chain, newLink())
		if len(o.prints.added) > 0 || len(o.issued) != 1 {
			t.Errorf("%d thumbprints, %d events", len(o.prints.added), len(o.issued))
		}
		if o.store.over(h.id) {
			t.Error("it is over before the client has acknowledged it")
		}
		h.Acked(7) // of another message
		h.Acked(1)
		o.wantOver(t, id)
	}
}

// The thumbprint of what was issued is registered before the device has it.
func TestRenewByThumbprint(t *testing.T) {
	o := newOffice(t)
	l := newLink()
	l.subscribed[filterCredentials] = 0
	h := o.connect(t, "self", o.two.Chain(), l)
	ask(t, h, issueTopic("r-1"), asking(t, "self", "self", newKey(t), ""))
	hear(t, l, "202", "r-1")
	done := hear(t, l, "200", "r-1")
	sum := sha256.Sum256(done.Certificates[0])
	if len(o.prints.added) != 1 || !strings.EqualFold(o.prints.added[0], hex.EncodeToString(sum[:])) {
		t.Errorf("added %q", o.prints.added)
	}
	two := sha256.Sum256(o.two.Cert.Raw)
	if !o.prints.inUse(hex.EncodeToString(two[:])) || o.prints.inUse(hex.EncodeToString(sum[:])) {
		t.Error("it does not know the certificate in use")
	}
	if done.QoS != 0 {
		t.Errorf("QoS %d, and 0 was granted", done.QoS)
	}
	o.wantOver(t, "self")
}

func TestRenewByToken(t *testing.T) {
	for name, tc := range map[string]struct {
		set    func(*Face)
		status string
	}{
		"refused": {func(*Face) {}, "412"},
		"allowed": {func(f *Face) { f.Renewal.Tokens = true }, "202"},
		"nothing": {func(f *Face) { f.Renewal = nil }, "412"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			tc.set(o.Face)
			l := newLink(filterCredentials)
			h := o.connect(t, "dev1", nil, l)
			ask(t, h, issueTopic("r-1"), asking(t, "dev1", "dev1", newKey(t), ""))
			a := hear(t, l, tc.status, "r-1")
			if tc.status == "202" {
				hear(t, l, "200", "r-1")
			} else if a.ErrorCode != int(hub.CredentialUnready) {
				t.Errorf("%s", a.Payload)
			}
		})
	}
}

// Whatever is wrong is answered, and the connection stays.
func TestRenewalRefuses(t *testing.T) {
	o := newOffice(t)
	l := newLink(filterCredentials)
	h := o.connect(t, "ca", o.root.Leaf(t, "ca").Chain(), l)
	key := newKey(t)
	for name, tc := range map[string]struct{ rid, body, reason string }{
		"no JSON":       {"r-1", "{", "InvalidRequest"},
		"nothing":       {"r-2", "", "InvalidRequest"},
		"bad base64":    {"r-3", `{"id":"ca","csr":"?"}`, "FailedToDecodeCsr"},
		"bad csr":       {"r-4", `{"id":"ca","csr":"AAAA"}`, "FailedToDecodeCsr"},
		"another id":    {"r-5", asking(t, "CA2", "ca", key, ""), "SubjectMismatch"},
		"another CN":    {"r-6", asking(t, "ca", "CA2", key, ""), "SubjectMismatch"},
		"huge":          {"r-7", strings.Repeat("x", 300<<10), "InvalidRequest"},
		"odd rid":       {"a b", asking(t, "ca", "ca", key, ""), "InvalidRequest"},
		"rid of 1000 B": {strings.Repeat("r", 1000), asking(t, "ca", "ca", key, ""), "InvalidRequest"},
	} {
		ask(t, h, issueTopic(tc.rid), tc.body)
		if a := hear(t, l, "400", tc.rid); a.ErrorCode != int(hub.CredentialFailed) || a.Info.CredentialError != tc.reason || a.Info.CredentialMessage == "" {
			t.Errorf("%s: %s", name, a.Payload)
		}
	}
	ask(t, h, issueTopic("r-8"), asking(t, "ca", "ca", key, "nobody"))
	if a := hear(t, l, "412", "r-8"); a.ErrorCode != int(hub.PreconditionFailed) {
		t.Errorf("%s", a.Payload)
	}
	o.store.intercept(func(credential.Operation) error { return hub.Errorf(hub.ServiceUnavailable, "no NATS") })
	ask(t, h, issueTopic("r-9"), asking(t, "ca", "ca", key, ""))
	if a := hear(t, l, "503", "r-9"); a.ErrorCode != int(hub.ServiceUnavailable) || a.RetryAfter != 5 {
		t.Errorf("%s", a.Payload)
	}
}

// Nobody could answer these.
func TestRenewalWithoutAnAnswer(t *testing.T) {
	o := newOffice(t)
	l := newLink()
	h := o.connect(t, "ca", o.root.Leaf(t, "ca").Chain(), l)
	for _, topic := range []string{
		issueTopic(""), "$iothub/credentials/POST/issueCertificate/?x=1", issueTopic(strings.Repeat("r", maxRID+1)),
		"$iothub/credentials/POST/revoke/?$rid=1", "$iothub/credentials/res/200/?$rid=1",
	} {
		if err := h.Publish(&mqtt.Publish{Topic: []byte(topic)}, receipt{}, 0); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%.60s: %v", topic, err)
		}
	}
	ask(t, h, issueTopic("r-1"), asking(t, "ca", "ca", newKey(t), "")) // and has not subscribed
	if len(o.store.ops) > 0 || len(l.sent) > 0 {
		t.Error("something is issued that nobody would hear of")
	}
}

// While one request is being accepted another one is 409004, while its
// certificate is being made 409005; the same is no other.
func TestOneRenewalInFlight(t *testing.T) {
	o := newOffice(t)
	l := newLink(filterCredentials)
	h := o.connect(t, "ca", o.root.Leaf(t, "ca").Chain(), l)
	arrived, release := make(chan struct{}), make(chan struct{})
	o.store.intercept(func(credential.Operation) error {
		arrived <- struct{}{}
		<-release
		return nil
	})
	key := newKey(t)
	first, second := asking(t, "ca", "ca", key, ""), asking(t, "ca", "ca", key, "")
	ask(t, h, issueTopic("first"), first)
	<-arrived
	ask(t, h, issueTopic("first"), first)
	ask(t, h, issueTopic("second"), second)
	if a := hear(t, l, "409", "second"); a.ErrorCode != int(hub.CredentialPending) {
		t.Errorf("%s", a.Payload)
	}
	release <- struct{}{}
	accepted := hear(t, l, "202", "first")
	<-arrived // with the certificate
	ask(t, h, issueTopic("second"), second)
	a := hear(t, l, "409", "second")
	if a.ErrorCode != int(hub.CredentialActive) || a.Info.RequestID != "first" || a.Info.CorrelationID != accepted.CorrelationID {
		t.Errorf("%s", a.Payload)
	}
	o.store.intercept(nil)
	release <- struct{}{}
	done := hear(t, l, "200", "first")
	ask(t, h, issueTopic("first"), first)
	hear(t, l, "202", "first")
	if again := hear(t, l, "200", "first"); string(again.Certificates[0]) != string(done.Certificates[0]) {
		t.Error("the same again gets another certificate")
	}
}

// A gateway that ends between 202 and 200 leaves the rest to the next one: the
// device is answered when it is back with its subscription, or subscribes.
func TestRenewalIsTakenUp(t *testing.T) {
	for _, step := range []string{"before it is issued", "before it is sent"} {
		for _, how := range []string{"with its session", "subscribing"} {
			t.Run(step+", "+how, func(t *testing.T) {
				o := newOffice(t)
				l := newLink(filterCredentials)
				chain := o.root.Leaf(t, "ca").Chain()
				h := o.connect(t, "ca", chain, l)
				if step == "before it is issued" {
					o.store.intercept(func(op credential.Operation) error {
						if len(op.Certificates) > 0 {
							return hub.Errorf(hub.ServiceUnavailable, "the gateway ends here")
						}
						return nil
					})
				}
				ask(t, h, issueTopic("r-1"), asking(t, "ca", "ca", newKey(t), ""))
				accepted := hear(t, l, "202", "r-1")
				var first heard
				if step == "before it is sent" {
					first = hear(t, l, "200", "r-1") // and is not acknowledged
				} else {
					hear(t, l, "503", "r-1")
				}
				h.Detached()
				o.store.intercept(nil)

				next := newLink()
				if how == "with its session" {
					next = newLink(filterCredentials)
				}
				h = o.connect(t, "ca", chain, next)
				if how == "subscribing" {
					if _, err := h.Grant(filterCredentials, 1); err != nil {
						t.Fatal(err)
					}
					next.subscribed[filterCredentials] = 1
					h.Subscribed()
				}
				if a := hear(t, next, "202", "r-1"); a.CorrelationID != accepted.CorrelationID {
					t.Errorf("%s after %s", a.Payload, accepted.Payload)
				}
				a := hear(t, next, "200", "r-1")
				if first.Certificates != nil && string(a.Certificates[0]) != string(first.Certificates[0]) {
					t.Error("it is another certificate")
				}
				if len(o.issued) != 1 {
					t.Errorf("%d certificates are issued", len(o.issued))
				}
				h.Acked(1)
				o.wantOver(t, "ca")
			})
		}
	}
}

// fickleLink is a link whose client unsubscribes and subscribes again.
type fickleLink struct {
	*fakeLink

	mu     sync.Mutex
	deaf   bool
	missed chan struct{} // has something when the subscription was looked for in vain
}

func (l *fickleLink) Subscription(filter string) (byte, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deaf {
		select {
		case l.missed <- struct{}{}:
		default:
		}
		return 0, false
	}
	return l.fakeLink.Subscription(filter)
}

func (l *fickleLink) set(deaf bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = deaf
}

// A device that is not subscribed when its certificate is there gets it when it
// subscribes again, over the same connection too.
func TestRenewalWaitsForASubscription(t *testing.T) {
	o := newOffice(t)
	l := &fickleLink{fakeLink: newLink(filterCredentials), missed: make(chan struct{}, 1)}
	h := o.connect(t, "ca", o.root.Leaf(t, "ca").Chain(), l)
	o.store.intercept(func(op credential.Operation) error {
		l.set(len(op.Certificates) > 0)
		return nil
	})
	ask(t, h, issueTopic("r-1"), asking(t, "ca", "ca", newKey(t), ""))
	accepted := hear(t, l.fakeLink, "202", "r-1")
	<-l.missed
	o.store.intercept(nil)
	if _, err := h.Grant(filterCredentials, 1); err != nil {
		t.Fatal(err)
	}
	l.set(false)
	h.Subscribed()
	hear(t, l.fakeLink, "202", "r-1")
	if a := hear(t, l.fakeLink, "200", "r-1"); a.CorrelationID != accepted.CorrelationID {
		t.Errorf("%s after %s", a.Payload, accepted.Payload)
	}
	h.Acked(1)
	o.wantOver(t, "ca")
}

// A device that was not subscribed when its request was accepted reads that too, before
// its certificate.
func TestRenewalAcceptedWhileNobodyHears(t *testing.T) {
	o := newOffice(t)
	l := &fickleLink{fakeLink: newLink(filterCredentials), missed: make(chan struct{}, 1)}
	h := o.connect(t, "ca", o.root.Leaf(t, "ca").Chain(), l)
	o.store.intercept(func(op credential.Operation) error {
		l.set(len(op.Certificates) == 0)
		return nil
	})
	ask(t, h, issueTopic("r-1"), asking(t, "ca", "ca", newKey(t), ""))
	<-l.missed
	l.set(false)
	if _, err := h.Grant(filterCredentials, 1); err != nil {
		t.Fatal(err)
	}
	h.Subscribed()
	hear(t, l.fakeLink, "202", "r-1")
	hear(t, l.fakeLink, "200", "r-1")
	h.Acked(1)
	o.wantOver(t, "ca")
}

// slowStore is an opStore that answers no question until it is released.
type slowStore struct {
	*opStore

	asked   chan struct{}
	release chan struct{}
}

func (s *slowStore) Get(ctx context.Context, id hub.Identity) (credential.Operation, error) {
	s.asked <- struct{}{}
	select {
	case <-s.release:
	case <-ctx.Done():
		return credential.Operation{}, hub.Errorf(hub.GatewayTimeout, "no answer")
	}
	return s.opStore.Get(ctx, id)
}

// While NATS does not answer, a client that subscribes again and again makes the
// node hold no more than one that subscribes twice.
func TestManySubscriptionsWhileTheStoreIsSlow(t *testing.T) {
	o := newOffice(t)
	const times = 1000
	slow := &slowStore{o.store, make(chan struct{}, 2*times), make(chan struct{})}
	o.Renewal.Desk.Store = slow
	l := newLink(filterCredentials)
	h := o.connect(t, "ca", o.root.Leaf(t, "ca").Chain(), l)
	<-slow.asked
	before := runtime.NumGoroutine()
	for range times {
		if _, err := h.Grant(filterCredentials, 1); err != nil {
			t.Fatal(err)
		}
		h.Subscribed()
	}
	if n := runtime.NumGoroutine() - before; n > times/10 {
		t.Errorf("%d goroutines wait", n)
	}
	close(slow.release)
	<-slow.asked // the last subscription has its own look
	ask(t, h, issueTopic("r-1"), asking(t, "ca", "ca", newKey(t), ""))
	hear(t, l, "202", "r-1")
	hear(t, l, "200", "r-1")
}

// A new identity of the same name does not get what the old one asked for.
func TestRenewalOfAnotherGeneration(t *testing.T) {
	o := newOffice(t)
	l := newLink(filterCredentials)
	chain := o.root.Leaf(t, "ca").Chain()
	h := o.connect(t, "ca", chain, l)
	body := asking(t, "ca", "ca", newKey(t), "")
	ask(t, h, issueTopic("r-1"), body)
	hear(t, l, "202", "r-1")
	first := hear(t, l, "200", "r-1")
	r := o.devices[hub.Identity{Device: "ca"}]
	r.GenerationID = "another"
	r.Authentication = identity.Authentication{Type: identity.AuthCA}
	o.devices[r.ID] = r
	next := newLink(filterCredentials)
	h = o.connect(t, "ca", chain, next)
	ask(t, h, issueTopic("r-1"), body)
	hear(t, next, "202", "r-1")
	if a := hear(t, next, "200", "r-1"); string(a.Certificates[0]) == string(first.Certificates[0]) {
		t.Error("it gets the certificate of the one before")
	}
}

func TestCredentialsFilter(t *testing.T) {
	for _, id := range []hub.Identity{{Device: "d"}, {Device: "d", Module: "m"}} {
		for qos, want := range []byte{0, 1, 1} {
			if got, err := grant(id, "$iothub/credentials/res/#", byte(qos)); err != nil || got != want {
				t.Errorf("%s QoS %d: %d, %v", id, qos, got, err)
			}
		}
		if _, err := grant(id, "$iothub/credentials/#", 0); err == nil {
			t.Error("more than the answers is granted")
		}
	}
}
