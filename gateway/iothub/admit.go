package iothub

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/telemetry"
)

// Admit implements [gateway.Face]: the client id, the user name and the token,
// or the certificate, must all name the same enabled device or module.
func (f *Face) Admit(ctx context.Context, c *mqtt.Connect, p gateway.Peer) (gateway.Admission, error) {
	u, err := parseUsername(string(c.Username))
	if err != nil {
		return gateway.Admission{}, err
	}
	changes := f.changes.Load()
	record, known, lookupErr := f.lookup(ctx, u.ID)
	refused := gateway.Admission{}
	if known {
		refused.ID = u.ID
	}
	switch {
	case !f.isOurs(u.Host):
		return refused, hub.Errorf(hub.Unauthorized, "the user name is for %s; this hub is %q: give the other name as an alias, or change the connection string", hubNamed(u.Host), f.HostName)
	case string(c.ClientID) != u.ID.String():
		return refused, hub.Errorf(hub.Unauthorized, "the client id is not the user name's identity %s", u.ID)
	case lookupErr != nil && hub.CodeOf(lookupErr) != hub.DeviceDisabled:
		return refused, lookupErr
	}
	h := &handler{face: f, id: u.ID, generation: record.GenerationID, modelID: u.ModelID, remote: p.Remote, java: isJava(u.ClientAgent), changes: changes}
	h.account.Open(f.Limiter)
	expires, err := f.authenticate(ctx, h, record, c.Password, p.Certificates)
	if err != nil {
		return refused, err
	}
	if lookupErr != nil { // that it is disabled is not for strangers
		return refused, lookupErr
	}
	will, err := h.will(c)
	if err != nil {
		return refused, err
	}
	var stale time.Time
	if h.shown == nil { // a certificate has no grace
		stale = expires.Add(-sas.ClockSkew)
	}
	return gateway.Admission{
		ID: u.ID, Generation: record.GenerationID, ClientAgent: u.ClientAgent, ModelID: u.ModelID,
		Stale: stale, Expires: expires, Will: will, Handler: h,
	}, nil
}

// lookup finds an identity that may connect, and says whether it exists. A
// module needs its device. One that is disabled comes with the error.
func (f *Face) lookup(ctx context.Context, id hub.Identity) (r identity.Record, known bool, err error) {
	r, err = f.Devices.Get(ctx, hub.Identity{Device: id.Device})
	if err != nil {
		return identity.Record{}, false, err
	}
	enabled, device := r.Status == identity.StatusEnabled, r
	if id.IsModule() {
		r, err = f.Devices.Get(ctx, id)
	}
	switch {
	case err != nil:
		return identity.Record{}, false, err
	case !enabled:
		return r, true, disabled(device)
	default:
		return r, true, nil
	}
}

func disabled(r identity.Record) error {
	return hub.Errorf(hub.DeviceDisabled, "the device %s is disabled", r.ID.Device)
}

// authenticate checks the proof that the identity is registered for, whatever
// else came, notes in h what it was, and says until when it is good.
func (f *Face) authenticate(ctx context.Context, h *handler, record identity.Record, password []byte, chain []*x509.Certificate) (time.Time, error) {
	if record.Authentication.Type != identity.AuthSAS {
		return f.byCertificate(h, record, password, chain)
	}
	if len(password) == 0 && len(chain) > 0 {
		return time.Time{}, hub.Errorf(hub.Unauthorized, "%s is registered for SAS tokens, and came with a certificate and without a token: give it a token, or register it for certificates", h.id)
	}
	token, err := f.byToken(ctx, h, record, string(password))
	return token.Expiry.Add(sas.ClockSkew), err
}

// byToken checks a SAS token.
func (f *Face) byToken(ctx context.Context, h *handler, record identity.Record, password string) (sas.Token, error) {
	if password == "" {
		return sas.Token{}, hub.Errorf(hub.Unauthorized, "no SAS token came as the password")
	}
	token, err := sas.Parse(password)
	if err != nil {
		return sas.Token{}, err
	}
	if token.ExpiredAt(f.now()) {
		return sas.Token{}, expired(token, f.now())
	}
	host := token.Host()
	if !f.isOurs(hostOf(host)) {
		return sas.Token{}, hub.Errorf(hub.Unauthorized, "the SAS token is for the host %q; this hub is %q: give the other name as an alias", clip(host), f.HostName)
	}
	if !token.Covers(host, h.id) {
		return sas.Token{}, hub.Errorf(hub.Unauthorized, "the SAS token's resource (sr) does not cover %s", h.id)
	}
	return token, f.verify(ctx, h, record, token)
}

// expired says by how much a token has expired: a device whose clock is behind
// makes tokens that are old from the start, by at least as much as its clock.
func expired(t sas.Token, now time.Time) error {
	ago := now.Sub(t.Expiry).Round(time.Second)
	return hub.Errorf(hub.Unauthorized, "the SAS token expired at %s, %v ago: it is old, or the device's clock is behind by at least that", t.Expiry.UTC().Format(time.RFC3339), ago)
}

// verify checks the signature against the identity's keys or the policy's.
func (f *Face) verify(ctx context.Context, h *handler, record identity.Record, token sas.Token) error {
	if token.Policy != "" {
		return f.verifyPolicy(ctx, h, token)
	}
	keys, err := record.Keys()
	if err != nil {
		return err
	}
	for _, key := range keys {
		if token.SignedBy(key) {
			h.proof = proofOf(key)
			h.authMethod = authMethodOf(h.id)
			return nil
		}
	}
	return hub.Errorf(hub.Unauthorized, "the SAS token is signed with neither key of %s", h.id)
}

func (f *Face) verifyPolicy(ctx context.Context, h *handler, token sas.Token) error {
	policy, ok := f.Policies.Lookup(token.Policy)
	if !ok {
		return hub.Errorf(hub.Unauthorized, "there is no policy %q", clip(token.Policy))
	}
	if !policy.Permissions.Has(sas.DeviceConnect) {
		return hub.Errorf(hub.Unauthorized, "the policy %q has no DeviceConnect permission", policy.Name)
	}
	for _, text := range []string{policy.PrimaryKey, policy.SecondaryKey} {
		key, err := sas.DecodeKey(text)
		if err == nil && token.SignedBy(key) {
			h.policy, h.proof = policy.Name, proofOf(key)
			h.authMethod = telemetry.AuthMethodHub
			return f.checkNamed(ctx, token, key, h.id)
		}
	}
	return hub.Errorf(hub.Unauthorized, "the SAS token is signed with neither key of the policy %q", policy.Name)
}

// checkNamed refuses a policy's token that was made for another identity: ids
// may hold percent signs, so that the token of the device "a%62", read once
// more, names the device "ab".
func (f *Face) checkNamed(ctx context.Context, token sas.Token, key []byte, id hub.Identity) error {
	ids, hubWide := token.Named(key, token.Host())
	for _, other := range ids {
		if other == id {
			return nil
		}
		_, err := f.Devices.Get(ctx, other)
		switch code := hub.CodeOf(err); {
		case err == nil:
			return hub.Errorf(hub.Unauthorized, "the SAS token's resource (sr) names %s, which exists, and not %s", other, id)
		case code != hub.DeviceNotFound && code != hub.ModuleNotFound:
			return err
		}
	}
	if hubWide {
		return nil
	}
	return hub.Errorf(hub.Unauthorized, "the SAS token's resource (sr) does not cover %s as it was signed", id)
}

func authMethodOf(id hub.Identity) string {
	if id.IsModule() {
		return telemetry.AuthMethodModule
	}
	return telemetry.AuthMethodDevice
}

// proof tells which key let a connection in, without being the key.
type proof [8]byte

func proofOf(key []byte) proof {
	sum := sha256.Sum256(key)
	return proof(sum[:8])
}

// hubNamed is how a message has the host of a user name. There may be a key or a token
// in its place, from somebody who took the password for the user name: what does not
// look like a host name is not shown.
func hubNamed(host string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	if !strings.Contains(host, ".") || strings.Trim(host, letters) != "" {
		return "a hub whose name is not shown, for it may be a part of a secret"
	}
	return "the hub " + strconv.Quote(clip(host))
}

// clip shortens what a client sent for a message.
func clip(s string) string {
	const shown = 128
	if len(s) > shown {
		return s[:shown] + "…"
	}
	return s
}
