package trust

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Authority is a certificate authority in the hub's registry. Its JSON is IoT
// Hub's certificate resource.
type Authority struct {
	Name        string
	Certificate []byte // DER
	// Verified says that somebody has proved to hold the authority's key, or
	// that an operator vouches for it. Only then it vouches for devices.
	Verified bool
	// VerificationCode is what a certificate must be issued for to prove that;
	// empty: none was asked for.
	VerificationCode string
	Created, Updated time.Time
	// Revision is the store's number of the last write. In the JSON it is the
	// etag.
	Revision uint64
}

// ETag changes with every write.
func (a Authority) ETag() string {
	return base64.StdEncoding.EncodeToString(strconv.AppendUint(nil, a.Revision, 10))
}

type authorityJSON struct {
	Name       string         `json:"name"`
	ETag       string         `json:"etag,omitempty"`
	Properties propertiesJSON `json:"properties"`
}

// The times are as Azure writes them: Sat, 31 Oct 2026 20:42:57 GMT.
type propertiesJSON struct {
	Subject          string `json:"subject,omitempty"`
	Expiry           string `json:"expiry,omitempty"`
	Thumbprint       string `json:"thumbprint,omitempty"`
	IsVerified       bool   `json:"isVerified"`
	Created          string `json:"created,omitempty"`
	Updated          string `json:"updated,omitempty"`
	Certificate      string `json:"certificate"` // base64 of DER
	VerificationCode string `json:"verificationCode,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (a Authority) MarshalJSON() ([]byte, error) {
	j := authorityJSON{Name: a.Name, ETag: a.ETag(), Properties: propertiesJSON{
		IsVerified: a.Verified, Created: dateText(a.Created), Updated: dateText(a.Updated),
		Certificate: base64.StdEncoding.EncodeToString(a.Certificate), VerificationCode: a.VerificationCode,
	}}
	if cert, err := a.Parse(); err == nil {
		j.Properties.Subject = cert.Subject.String()
		j.Properties.Expiry, j.Properties.Thumbprint = dateText(cert.NotAfter), Thumbprint(cert)
	}
	return json.Marshal(j)
}

// UnmarshalJSON implements json.Unmarshaler. The certificate may be PEM too.
// What is made from it is passed over.
func (a *Authority) UnmarshalJSON(b []byte) error {
	var j authorityJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "this is not the JSON of a certificate: it has name and properties.certificate")
	}
	*a = Authority{
		Name: j.Name, Verified: j.Properties.IsVerified, VerificationCode: j.Properties.VerificationCode,
		Created: dateOf(j.Properties.Created), Updated: dateOf(j.Properties.Updated), Revision: revisionOf(j.ETag),
	}
	if j.Properties.Certificate == "" {
		return nil
	}
	cert, err := ParseCertificate([]byte(j.Properties.Certificate))
	if err != nil {
		return err
	}
	a.Certificate = cert.Raw
	return nil
}

// revisionOf is the revision that an etag stands for; 0 for one that is not
// ours.
func revisionOf(etag string) uint64 {
	text, err := base64.StdEncoding.DecodeString(etag)
	if err != nil {
		return 0
	}
	revision, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		return 0
	}
	return revision
}

// Parse reads the certificate.
func (a Authority) Parse() (*x509.Certificate, error) {
	cert, err := x509.ParseCertificate(a.Certificate)
	if err != nil {
		return nil, hub.Errorf(hub.ServerError, "the certificate of the authority %s is damaged: %w", quote(a.Name), err)
	}
	return cert, nil
}

// dateForm is that of HTTP, always in GMT.
const dateForm = "Mon, 02 Jan 2006 15:04:05 GMT"

func dateText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(dateForm)
}

func dateOf(text string) time.Time {
	t, err := time.Parse(dateForm, text)
	if err != nil {
		return time.Time{}
	}
	return t
}
