package conformance

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// skew is how long after its expiry IoT Hub, and the gateway, take a token.
	skew = 5 * time.Minute
	// ago is an expiry that is too long ago even for that.
	ago = skew + time.Minute
	// almost is how long a connection lives on a token that is almost out.
	almost = 4 * time.Second
	anHour = time.Hour
)

// key returns the shared access key of a connection string.
func key(connectionString string) string {
	_, rest, _ := strings.Cut(connectionString, "SharedAccessKey=")
	value, _, _ := strings.Cut(rest, ";")
	return value
}

// withKey replaces the shared access key of a connection string.
func withKey(connectionString, value string) string {
	return strings.Replace(connectionString, key(connectionString), value, 1)
}

// withDevice replaces the device id of a connection string.
func withDevice(connectionString, from, to string) string {
	return strings.Replace(connectionString, "DeviceId="+from, "DeviceId="+to, 1)
}

// withHost replaces the host name of a connection string.
func withHost(connectionString, from, to string) string {
	return strings.Replace(connectionString, "HostName="+from, "HostName="+to, 1)
}

// sign makes a device's token that expired so long ago (negative: will expire).
func sign(host, device string, who identity, expired time.Duration) string {
	expiry := strconv.FormatInt(time.Now().Add(-expired).Unix(), 10)
	resource := url.QueryEscape(host + "/devices/" + url.QueryEscape(device))
	return "SharedAccessSignature sr=" + resource +
		"&sig=" + url.QueryEscape(signature(resource, expiry, key(who.ConnectionString))) + "&se=" + expiry
}

// signature is the base64 HMAC of a SAS token over the resource as it is written.
func signature(resource, expiry, key string) string {
	secret, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		panic("the key in a connection string is not base64: " + err.Error())
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(resource + "\n" + expiry))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
