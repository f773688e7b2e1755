package main

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// credentials are what the connection string of a device says.
type credentials struct {
	host   string // the hub's name, in user name and token
	dial   string // where to connect to: the host, unless there is a gateway in between
	device string
	key    []byte
}

// parseCredentials reads HostName=…;DeviceId=…;SharedAccessKey=…. Its errors
// hold no part of the text, which is a secret.
func parseCredentials(connectionString string) (credentials, error) {
	fields := map[string]string{}
	for part := range strings.SplitSeq(connectionString, ";") {
		name, value, _ := strings.Cut(part, "=") // at the first one: a key ends in = too
		fields[name] = value
	}
	for _, name := range []string{"HostName", "DeviceId", "SharedAccessKey"} {
		if fields[name] == "" {
			return credentials{}, errors.New("there is no " + name + " in it")
		}
	}
	key, err := base64.StdEncoding.DecodeString(fields["SharedAccessKey"])
	if err != nil {
		return credentials{}, errors.New("its SharedAccessKey is not base64")
	}
	return credentials{
		host:   fields["HostName"],
		dial:   cmp.Or(fields["GatewayHostName"], fields["HostName"]),
		device: fields["DeviceId"],
		key:    key,
	}, nil
}

// userName is what CONNECT has beside the token.
func (c credentials) userName() string {
	return c.host + "/" + c.device + "/?api-version=2021-04-12"
}

// token is a SAS token: what it is for and until when, signed with the key,
// which itself never leaves the device.
func (c credentials) token(expiry time.Time) string {
	resource := url.QueryEscape(c.host + "/devices/" + c.device)
	until := strconv.FormatInt(expiry.Unix(), 10)
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(resource + "\n" + until))
	signature := url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return "SharedAccessSignature sr=" + resource + "&sig=" + signature + "&se=" + until
}

// trust returns the authorities that the hub's certificate may come from. A
// hub of your own has its own one.
func trust(file string) (*x509.CertPool, error) {
	if file == "" {
		return x509.SystemCertPool()
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New(file + " holds no certificate")
	}
	return roots, nil
}
