package backend

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/trust"
)

// AuthorityService answers back-end apps who manage certificate authorities
// over NATS.
type AuthorityService struct {
	responder

	registry *trust.Registry
	maxReply int // bytes of an answer
	micro    micro.Service
}

// ServeAuthorities registers the NATS service hub-authority, until Stop or until
// the backbone is closed. Several nodes share the requests.
func (b *Backbone) ServeAuthorities(r *trust.Registry) (*AuthorityService, error) {
	s := &AuthorityService{responder: b.responder("authority"), registry: r, maxReply: int(b.nc.MaxPayload()) - envelope}
	var err error
	s.micro, err = b.service(micro.Config{Name: b.names.AuthorityName(), Description: "certificate authorities that vouch for devices"}, s.endpoints(), s.handler)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stop takes no more requests.
func (s *AuthorityService) Stop() error { return s.micro.Stop() }

func (s *AuthorityService) endpoints() []endpoint {
	all := s.names.AuthorityAll
	return []endpoint{
		{"list", s.names.AuthorityVerb(subject.List), "", listSchema, authoritiesSchema, s.list},
		{"get", all(subject.Get), "", emptySchema, authoritySchema, s.get},
		{"put", all(subject.Put), "", newAuthoritySchema, authoritySchema, s.put},
		{"delete", all(subject.Delete), "", emptySchema, emptySchema, s.delete},
		{"code", all(subject.Code), "", emptySchema, authoritySchema, s.code},
		{"verify", all(subject.Prove), "", proofSchema, authoritySchema, s.verify},
	}
}

// list answers hub.authority.list. A page ends where a message does.
func (s *AuthorityService) list(ctx context.Context, r request) (any, error) {
	var q struct {
		After string `json:"after"`
		Top   int    `json:"top"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	all, err := s.registry.List(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.page(all, q.After, q.Top)
	return struct { // as IoT Hub has it
		Value []json.RawMessage `json:"value"`
		Next  string            `json:"next,omitempty"`
	}{p.Items, p.Next}, err
}

func (s *AuthorityService) page(all []trust.Authority, after string, top int) (page, error) {
	p := newPager(top, s.maxReply)
	for _, a := range all {
		if a.Name <= after {
			continue
		}
		item, err := json.Marshal(a)
		if err != nil {
			return page{}, hub.Errorf(hub.ServerError, "write the certificate authority %s as JSON: %w", a.Name, err)
		}
		if !p.add(a.Name, item) {
			return p.page, nil
		}
	}
	return p.last(), nil
}

// get answers hub.authority.get.{name}.
func (s *AuthorityService) get(ctx context.Context, r request) (any, error) {
	name, err := s.nameOf(subject.Get, r)
	if err != nil {
		return nil, err
	}
	return s.registry.Get(ctx, name)
}

// put answers hub.authority.put.{name}. Without If-Match it registers; with "*"
// or an etag it replaces.
func (s *AuthorityService) put(ctx context.Context, r request) (any, error) {
	name, err := s.names.ParseAuthority(subject.Put, r.subject)
	if err != nil {
		return nil, err
	}
	var a trust.Authority
	if err := r.decode(&a); err != nil {
		return nil, err
	}
	if a.Name != "" && a.Name != name {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the subject names the authority %q and the body %q", name, a.Name)
	}
	a.Name = name
	return s.registry.Put(ctx, a, r.ifMatch)
}

// delete answers hub.authority.delete.{name}.
func (s *AuthorityService) delete(ctx context.Context, r request) (any, error) {
	name, err := s.nameOf(subject.Delete, r)
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.registry.Delete(ctx, name, r.ifMatch)
}

// code answers hub.authority.code.{name}.
func (s *AuthorityService) code(ctx context.Context, r request) (any, error) {
	name, err := s.nameOf(subject.Code, r)
	if err != nil {
		return nil, err
	}
	return s.registry.Code(ctx, name, r.ifMatch)
}

// verify answers hub.authority.verify.{name}.
func (s *AuthorityService) verify(ctx context.Context, r request) (any, error) {
	name, err := s.names.ParseAuthority(subject.Prove, r.subject)
	if err != nil {
		return nil, err
	}
	var proof struct {
		Certificate string `json:"certificate"`
	}
	if err := r.decode(&proof); err != nil {
		return nil, err
	}
	return s.registry.Verify(ctx, name, []byte(proof.Certificate), r.ifMatch)
}

// nameOf is the name in the subject of a request without a body.
func (s *AuthorityService) nameOf(v subject.Verb, r request) (string, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return "", err
	}
	return s.names.ParseAuthority(v, r.subject)
}
