package iothub

import (
	"context"
	"crypto/x509"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/credential"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// In-band renewal of certificates. A device asks for one on
//
//	$iothub/credentials/POST/issueCertificate/?$rid={rid}
//
// and is answered on
//
//	$iothub/credentials/res/{status}/?$rid={rid}
//
// with 202 when its request is stored and with 200 when the certificate is
// there, or with the status of an error. Nothing of this ends a connection.
const (
	prefixIssue            = "$iothub/credentials/POST/issueCertificate/?"
	prefixCredentialResult = "$iothub/credentials/res/"
	filterCredentials      = prefixCredentialResult + "#"
)

// renewalTimeout bounds each half of a request: up to 202, and from there on.
// IoT Hub allows itself 60 s for the first, and the SDKs wait for 90 s.
const renewalTimeout = 20 * time.Second

// Renewal is what the renewal of certificates needs. Its fields must not change.
type Renewal struct {
	Desk        *credential.Desk
	Thumbprints Thumbprints
	// Tokens lets identities that authenticate by SAS token ask too.
	Tokens bool
	// Issued is told of what was issued. It does not block.
	Issued func(op credential.Operation, cert *x509.Certificate)
}

// Thumbprints registers certificates; [identity.Registry] does.
type Thumbprints interface {
	AddThumbprint(ctx context.Context, id hub.Identity, generation string, inUse func(thumbprint string) bool, next string) error
}

// renewal is a connection's part in it.
type renewal struct {
	// serial orders what is accepted here against what is looked for here.
	serial sync.Mutex
	own    string // correlation id of the last one that was; under serial

	mu      sync.Mutex
	pending string // request id that has no answer yet; empty: none
	packet  uint16 // of the message with op that was sent and not acknowledged; 0: none
	op      credential.Operation
	looks   int // for what was left: the one at work, and one behind it
}

// ofRenewal returns the connection's part in renewals, made at its first use:
// few connections have one.
func (h *handler) ofRenewal() *renewal {
	if r := h.renewal.Load(); r != nil {
		return r
	}
	h.renewal.CompareAndSwap(nil, new(renewal))
	return h.renewal.Load()
}

// issueRequest prepares what a device asks for; both are nil when the topic is
// another one.
func (h *handler) issueRequest(topic, body []byte) (act func(), err error) {
	query, ok := cut(topic, prefixIssue)
	if !ok {
		return nil, nil
	}
	rid := ridOf(string(query))
	if rid == "" || len(rid) > maxRID {
		return nil, hub.Errorf(hub.ArgumentInvalid, "a request for a certificate needs a request id of 1 to %d bytes: …/?$rid={rid}", maxRID)
	}
	kept := append([]byte(nil), body[:min(len(body), credential.MaxBody+1)]...)
	h.came(credentialRequest)
	return func() { h.askIssue(rid, kept) }, nil
}

// askIssue works on a request beside the reader, one at a time until it is
// accepted.
func (h *handler) askIssue(rid string, body []byte) {
	if !h.hears() {
		h.refused(rid, hub.Errorf(hub.ArgumentInvalid, "%s asks for a certificate and has not subscribed to %s, where the answer would come", h.id, filterCredentials))
		return
	}
	switch before := h.ofRenewal().begin(rid); before {
	case "":
		go h.issue(rid, body)
	case rid: // the same again: its answer is on the way
	default:
		h.refuseIssue(rid, hub.Errorf(hub.CredentialPending, "the request %s of %s is neither accepted nor refused yet: wait for its answer", before, h.id))
	}
}

// begin makes rid the request that waits to be accepted, unless one does.
func (r *renewal) begin(rid string) (before string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before = r.pending; before == "" {
		r.pending = rid
	}
	return before
}

// end answers the request that waits, and lets the next one in: not before, and
// not so much later that a client which has read the answer meets it.
func (r *renewal) end(answer func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer()
	r.pending = ""
}

func (h *handler) issue(rid string, body []byte) {
	op, err := h.accept(rid, body)
	heard := false
	h.ofRenewal().end(func() {
		if err != nil {
			h.answerError(rid, err)
		} else {
			heard = h.accepted(op)
		}
	})
	switch {
	case err != nil:
		h.refused(rid, err)
	case heard:
		h.finish(op)
	default:
		h.leave(op)
	}
}

// accept checks a request and has it stored.
func (h *handler) accept(rid string, body []byte) (credential.Operation, error) {
	f := h.face.Renewal
	if f == nil {
		return credential.Operation{}, (*credential.Desk)(nil).Check()
	}
	if h.shown == nil && !f.Tokens {
		return credential.Operation{}, hub.Errorf(hub.CredentialUnready, "%s authenticates by SAS token and is issued no certificate: let it authenticate by certificate, or set tls.issue_to_sas", h.id)
	}
	r := h.ofRenewal()
	r.serial.Lock()
	defer r.serial.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), renewalTimeout)
	defer cancel()
	op, err := f.Desk.Accept(ctx, h.id, h.generation, rid, body)
	if err == nil {
		r.own = op.CorrelationID
	}
	return op, err
}

// finish issues what was accepted, registers it and sends it. When the device
// is away, or the gateway ends, the next connection takes it up.
func (h *handler) finish(op credential.Operation) {
	ctx, cancel := context.WithTimeout(context.Background(), renewalTimeout)
	defer cancel()
	done, err := h.make(ctx, op)
	if err != nil {
		h.refuseIssue(op.RID, err)
		return
	}
	if h.deliver(done) {
		h.closeOperation(ctx, done)
	}
}

// make issues the certificate of op, unless that is done, and lets the identity
// show it.
func (h *handler) make(ctx context.Context, op credential.Operation) (credential.Operation, error) {
	f := h.face.Renewal
	op, made, err := f.Desk.Issue(ctx, op)
	if err != nil {
		return op, err
	}
	cert, err := op.Certificate()
	if err != nil {
		return op, err
	}
	if made {
		h.face.Log.Info().Str("device_id", h.id.Device).Str("module_id", h.id.Module).Str("request_id", op.RID).
			Str("serial", cert.SerialNumber.Text(16)).Time("not_after", cert.NotAfter).Msg("certificate issued")
		if f.Issued != nil {
			f.Issued(op, cert)
		}
	}
	if h.shown == nil || h.shown.grant != nil {
		return op, nil // nobody asks for its thumbprint
	}
	return op, f.Thumbprints.AddThumbprint(ctx, h.id, h.generation, h.shown.thumbprint.is, credential.Thumbprint(cert))
}

// deliver sends what was issued, and says whether that was all: with QoS 1 the
// client has still to acknowledge it. Without a subscription it waits for one.
func (h *handler) deliver(op credential.Operation) (over bool) {
	link := *h.link.Load()
	qos, ok := link.Subscription(filterCredentials)
	if !ok {
		h.leave(op)
		return false
	}
	r := h.ofRenewal()
	r.mu.Lock() // the acknowledgement may come at once
	defer r.mu.Unlock()
	packet, err := link.Send(gateway.Message{Topic: credentialTopic(200, op.RID), Payload: credential.IssuedBody(op), QoS: qos})
	h.went(credentialAnswer, err)
	if err != nil {
		return false
	}
	if qos > 0 {
		r.packet, r.op = packet, op
	}
	return qos == 0
}

// leave has the next subscription find op as if an earlier connection had left
// it; one that came meanwhile too.
func (h *handler) leave(op credential.Operation) {
	r := h.ofRenewal()
	r.serial.Lock()
	if r.own == op.CorrelationID {
		r.own = ""
	}
	r.serial.Unlock()
	h.resumeRenewal()
}

// renewalAcked notes that the device has what was issued.
func (h *handler) renewalAcked(packet uint16) {
	r := h.renewal.Load()
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.packet == 0 || r.packet != packet {
		return
	}
	op := r.op
	r.packet, r.op = 0, credential.Operation{}
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), renewalTimeout)
		defer cancel()
		h.closeOperation(ctx, op)
	}()
}

// closeOperation: if it can't be noted, the device gets its answer once more at
// its next connection.
func (h *handler) closeOperation(ctx context.Context, op credential.Operation) {
	if err := h.face.Renewal.Desk.Close(ctx, op); err != nil {
		h.face.Log.Warn().Err(err).Str("device_id", h.id.Device).Str("module_id", h.id.Module).Msg("the end of a renewal could not be noted")
	}
}

// noteRenewal remembers that SUBSCRIBE is about credentials.
func (h *handler) noteRenewal(filter string) { h.renewing = h.renewing || filter == filterCredentials }

// subscribedRenewal takes up what waits when SUBSCRIBE has been answered.
func (h *handler) subscribedRenewal() {
	if h.renewing {
		h.renewing = false
		h.resumeRenewal()
	}
}

// resumeRenewal looks for an operation that an earlier connection has left. It
// is answered from the start: whoever asks again reads 202 and then 200.
func (h *handler) resumeRenewal() {
	if h.face.Renewal == nil || !h.hears() {
		return
	}
	if r := h.ofRenewal(); r.look() {
		go func() {
			for again := true; again; again = r.looked() {
				h.takeUp()
			}
		}()
	}
}

// look asks for a look, and reports whether nobody is at work. However often a
// client subscribes, one look behind that at work sees all there is.
func (r *renewal) look() (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks = min(r.looks+1, 2)
	return r.looks == 1
}

// looked ends a look, and reports whether another one was asked for.
func (r *renewal) looked() (again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looks--
	return r.looks > 0
}

// takeUp works on what an earlier connection has left.
func (h *handler) takeUp() {
	op, ok, err := h.left()
	if err != nil {
		h.face.Log.Info().Err(err).Str("device_id", h.id.Device).Str("module_id", h.id.Module).Msg("a renewal that waits could not be looked for")
	}
	switch {
	case !ok:
	case h.accepted(op):
		h.finish(op)
	default:
		h.leave(op)
	}
}

// accepted answers 202, and reports whether the device has a subscription for it: one
// that is answered 200 has read 202 before.
func (h *handler) accepted(op credential.Operation) (heard bool) {
	return h.answerCredential(202, op.RID, credential.AcceptedBody(op))
}

// left is the operation of an earlier connection.
func (h *handler) left() (op credential.Operation, ok bool, err error) {
	r := h.ofRenewal()
	r.serial.Lock()
	defer r.serial.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), renewalTimeout)
	defer cancel()
	op, ok, err = h.face.Renewal.Desk.Waiting(ctx, h.id, h.generation)
	ok = ok && op.CorrelationID != r.own
	if ok {
		r.own = op.CorrelationID
	}
	return op, ok, err
}

// hears reports whether the device has subscribed to the answers.
func (h *handler) hears() bool {
	link := h.link.Load()
	if link == nil {
		return false
	}
	_, ok := (*link).Subscription(filterCredentials)
	return ok
}

func credentialTopic(status int, rid string) string {
	return prefixCredentialResult + strconv.Itoa(status) + "/?$rid=" + rid
}

// answerCredential reports whether the device has subscribed to answers.
func (h *handler) answerCredential(status int, rid string, body []byte) (heard bool) {
	return h.sendTo(filterCredentials, credentialAnswer, gateway.Message{Topic: credentialTopic(status, rid), Payload: body})
}

// refuseIssue answers and records a request that failed.
func (h *handler) refuseIssue(rid string, err error) {
	h.answerError(rid, err)
	h.refused(rid, err)
}

func (h *handler) answerError(rid string, err error) {
	h.answerCredential(hub.CodeOf(err).Status(), rid, credential.ErrorBody(err, h.face.now()))
}

// refused records it. The log has a line for the first of its kind.
func (h *handler) refused(rid string, err error) {
	level := zerolog.InfoLevel
	if !h.face.Timeline.Record(h.entry(timeline.RenewalRefused, err)) {
		level = zerolog.DebugLevel
	}
	h.face.Log.WithLevel(level).Err(err).Str("device_id", h.id.Device).Str("module_id", h.id.Module).
		Str("request_id", clip(rid)).Int("code", int(hub.CodeOf(err))).Msg("certificate refused")
}
