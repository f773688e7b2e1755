package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/hubgate/hubgate/sas"
)

// API bounds the service REST API.
type API struct {
	MaxRequests int      `key:"max_requests" doc:"How many requests to the service REST API the node works on at a time, 1 to 65536; the next one is refused with 429001. A direct method takes its place until the device has answered."`
	MaxIdle     int      `key:"max_idle" doc:"How many connections may wait for their next request, 0 to 65536; when there are more, the one that has waited longest is closed. Only a request with good credentials leaves one behind. 0: every connection has one request."`
	IdleTimeout Duration `key:"idle_timeout" doc:"How long a connection waits for its next request, 1s to 1h."`
}

// Auth says who may use the service REST API, beside the shared access policies.
type Auth struct {
	OIDC OIDC `key:"oidc"`
}

// OIDC is an OpenID Connect issuer.
type OIDC struct {
	Issuer    string   `key:"issuer" doc:"Who issues the bearer tokens (JWT) that the service REST API takes beside SAS tokens, exactly as their iss has it. Empty: nobody."`
	Audiences []string `key:"audiences" doc:"One of these has to be in a token's aud, such as https://iothubs.azure.net. Required with auth.oidc.issuer."`
	JWKSURL   string   `key:"jwks_url" doc:"HTTPS URL of the issuer's public keys (JSON Web Key Set). It is read at the start, every auth.oidc.refresh, and once a minute at most when a token is of a key that is not known, which waits for it up to 3s; on an error the keys that were read last stay. Keys of kinds that are not used here are passed over."`
	JWKSFile  string   `key:"jwks_file" doc:"File of the keys, in place of the URL; read as often."`
	Refresh   Duration `key:"refresh" doc:"How often the keys are read again, 1m to 7d."`
	Claims    []string `key:"claims" doc:"Claims that hold roles or scopes, as a list or as one text with spaces. Empty: roles, scope and scp."`
	Roles     []string `key:"roles" doc:"What roles and scopes may do, each as NAME=PERMISSION+PERMISSION, of registryRead, registryReadWrite and serviceConnect. Empty: Azure's roles IoT Hub Data Contributor (registryReadWrite and serviceConnect), IoT Hub Data Reader (registryRead), IoT Hub Registry Contributor (registryReadWrite) and IoT Hub Twin Contributor (serviceConnect), and the names of the permissions: RegistryRead, RegistryWrite (registryReadWrite) and ServiceConnect."`
}

const maxPlaces = 65536

func (c *Config) checkAPI() []error {
	var errs []error
	if n := c.API.MaxRequests; n < 1 || n > maxPlaces {
		errs = append(errs, c.wrong("api.max_requests", "%d is not from 1 to %d", n, maxPlaces))
	}
	if n := c.API.MaxIdle; n > maxPlaces {
		errs = append(errs, c.wrong("api.max_idle", "%d is not from 0 to %d", n, maxPlaces))
	}
	if d := c.API.IdleTimeout; d < Second || d > 3600*Second {
		errs = append(errs, c.wrong("api.idle_timeout", "%v is not from 1s to 1h", d))
	}
	return errs
}

func (c *Config) checkOIDC() []error {
	o := &c.Auth.OIDC
	var errs []error
	if o.Refresh < 60*Second || o.Refresh > 7*24*3600*Second {
		errs = append(errs, c.wrong("auth.oidc.refresh", "%v is not from 1m to 7d", o.Refresh))
	}
	if _, err := o.Permissions(); err != nil {
		errs = append(errs, c.wrong("auth.oidc.roles", "%w", err))
	}
	if o.Issuer == "" {
		for path, set := range map[string]bool{
			"auth.oidc.audiences": len(o.Audiences) > 0, "auth.oidc.jwks_url": o.JWKSURL != "", "auth.oidc.jwks_file": o.JWKSFile != "",
			"auth.oidc.claims": len(o.Claims) > 0, "auth.oidc.roles": len(o.Roles) > 0,
		} {
			if set {
				errs = append(errs, c.wrong(path, "this is for bearer tokens, which nobody may use without auth.oidc.issuer"))
			}
		}
		return errs
	}
	if len(o.Audiences) == 0 || slices.Contains(o.Audiences, "") {
		errs = append(errs, c.wrong("auth.oidc.audiences", "a token has to be for somebody: without an audience, or with an empty one, a token for any other service of the issuer, or for nobody, would open this hub"))
	}
	if (o.JWKSURL == "") == (o.JWKSFile == "") {
		errs = append(errs, c.wrong("auth.oidc.jwks_url", "the issuer's keys come from auth.oidc.jwks_url or from auth.oidc.jwks_file; give one of them"))
	}
	if err := checkKeyURL(o.JWKSURL); err != nil {
		errs = append(errs, c.wrong("auth.oidc.jwks_url", "%w", err))
	}
	return errs
}

// checkKeyURL refuses a URL over which somebody else could give the keys.
func checkKeyURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("%s is not a URL such as https://login.example/keys", shown(text))
	}
	addr, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return errors.New("keys that let people in come by https alone, or from this machine")
	}
	return nil
}

// Permissions is what roles may do, nil when the defaults count.
func (o OIDC) Permissions() (map[string]sas.Permission, error) {
	if len(o.Roles) == 0 {
		return nil, nil //nolint:nilnil // the defaults are the API's
	}
	all := map[string]sas.Permission{}
	for _, text := range o.Roles {
		at := strings.LastIndexByte(text, '=') // a name, as of a group in a directory, may have its own
		if at < 0 || strings.TrimSpace(text[:at]) == "" {
			return nil, fmt.Errorf("%s is not NAME=PERMISSION+PERMISSION", shown(text))
		}
		name, list := strings.TrimSpace(text[:at]), text[at+1:]
		p, err := Policy{Permissions: strings.Split(strings.ReplaceAll(list, " ", ""), "+")}.permission()
		if err != nil {
			return nil, err
		}
		all[name] |= p
	}
	return all, nil
}
