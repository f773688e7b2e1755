package rest

import (
	"errors"
	"net"
	"strings"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// unnamed is what a peer is called who does not say who he is.
const unnamed = "http"

// caller is who a request comes from, once that is proven.
type caller struct {
	name  string // as the log has it
	holds sas.Permission
}

// allows reports whether the caller may use a route.
func (r *route) allows(p sas.Permission) bool {
	return p.Has(r.needs) || r.also != 0 && p.Has(r.also)
}

// authorize finds out who asks, and whether he may. Whatever is wrong with the
// credentials, the answer is the same 401: the reason is for the timeline and
// the log. Who has proven who he is hears what he lacks.
func (s *Server) authorize(c *call) error {
	header := c.r.Header.Get("Authorization")
	client := clientOf(header)
	if s.Peers != nil && s.Peers.Refuses(c.r.RemoteAddr, client) {
		c.told = true
		return hub.Errorf(hub.Throttled, "too many requests with bad credentials came from here; try again later")
	}
	who, err := s.identify(c, header)
	if err != nil {
		return s.deny(c, client, err)
	}
	c.by = who.name
	if s.Peers != nil {
		s.Peers.Welcome(c.r.RemoteAddr, client)
	}
	if !c.route.allows(who.holds) {
		return hub.Errorf(hub.AccessDenied, "the permission %s is missing: %s has %s", c.route.needs, who.name, who.holds)
	}
	return nil
}

// deny makes of err, which says what is wrong with the credentials, what the
// peer may know of it. A fault of ours stays one.
func (s *Server) deny(c *call, client string, err error) error {
	if code := hub.CodeOf(err); code != hub.Unauthorized {
		return err
	}
	if s.Peers != nil {
		s.Peers.Failed(c.r.RemoteAddr, client, err)
		c.told = true
	}
	return &hub.Error{Code: hub.AccessDenied, Message: "Unauthorized", Err: err}
}

// identify proves who the caller is. Bad credentials are Unauthorized.
func (s *Server) identify(c *call, header string) (caller, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	switch {
	case header == "":
		return caller{}, hub.Errorf(hub.Unauthorized, "the request has no Authorization header: send a SAS token of a policy")
	case scheme == "SharedAccessSignature":
		return s.byPolicy(c, header)
	case strings.EqualFold(scheme, "Bearer") && s.Bearer != nil:
		return s.Bearer.identify(c.ctx(), strings.TrimSpace(rest), s.now())
	case strings.EqualFold(scheme, "Bearer"):
		return caller{}, hub.Errorf(hub.Unauthorized, "this hub takes no bearer tokens: auth.oidc is not configured")
	default:
		return caller{}, hub.Errorf(hub.Unauthorized, "the Authorization header is neither a SAS token nor a bearer token")
	}
}

// clientOf is what a peer calls himself, for whoever counts bad credentials.
func clientOf(header string) string {
	token, err := sas.Parse(header)
	if err != nil || token.Policy == "" {
		return unnamed
	}
	return unnamed + " policy " + clip(token.Policy)
}

// byPolicy checks a SAS token of a policy: a device's key opens nothing here.
func (s *Server) byPolicy(c *call, text string) (caller, error) {
	token, err := sas.Parse(text)
	if err != nil {
		return caller{}, err
	}
	policy, known := s.Policies.Lookup(token.Policy)
	if !isSigned(token, policy) || !known || token.Policy == "" {
		return caller{}, hub.Errorf(hub.Unauthorized, "the SAS token is signed with no key of a policy %q", clip(token.Policy))
	}
	if now := s.now(); token.ExpiredAt(now) {
		return caller{}, hub.Errorf(hub.Unauthorized, "the SAS token of the policy %q expired at %s", policy.Name, timestamp(token.Expiry))
	}
	if !s.isOurs(token.Host()) {
		return caller{}, hub.Errorf(hub.Unauthorized, "the SAS token is for the host %q; this hub is %q: give the other name as an alias", clip(token.Host()), s.HostName)
	}
	if !token.CoversPath(c.path) {
		return caller{}, hub.Errorf(hub.Unauthorized, "the SAS token of the policy %q is for another path: sign the bare host name", policy.Name)
	}
	return caller{"policy " + policy.Name, policy.Permissions}, nil
}

// isSigned takes as long for a policy that does not exist, whose keys are empty.
func isSigned(token sas.Token, policy sas.Policy) bool {
	primary, err := sas.DecodeKey(policy.PrimaryKey)
	secondary, err2 := sas.DecodeKey(policy.SecondaryKey)
	first, second := token.SignedBy(primary), token.SignedBy(secondary)
	return errors.Join(err, err2) == nil && (first || second)
}

// isOurs reports whether host, whose port does not matter, names this hub.
func (s *Server) isOurs(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	for _, ours := range append([]string{s.HostName}, s.Aliases...) {
		if strings.EqualFold(host, ours) {
			return true
		}
	}
	return false
}
