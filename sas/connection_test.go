package sas

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

func TestConnectionString(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want ConnectionString
	}{
		"device":     {"HostName=h.x;DeviceId=d;SharedAccessKey=YWJj==", ConnectionString{HostName: "h.x", DeviceID: "d", SharedAccessKey: "YWJj=="}},
		"odd id":     {"HostName=h.x;DeviceId=a=b@c", ConnectionString{HostName: "h.x", DeviceID: "a=b@c"}},
		"module":     {"HostName=h.x;DeviceId=d;ModuleId=m;SharedAccessKey=k=;GatewayHostName=g", ConnectionString{HostName: "h.x", DeviceID: "d", ModuleID: "m", SharedAccessKey: "k=", GatewayHostName: "g"}},
		"service":    {"HostName=h.x;SharedAccessKeyName=iothubowner;SharedAccessKey=k", ConnectionString{HostName: "h.x", SharedAccessKeyName: "iothubowner", SharedAccessKey: "k"}},
		"token":      {"HostName=h.x;DeviceId=d;SharedAccessSignature=SharedAccessSignature sr=h&sig=s&se=1", ConnectionString{HostName: "h.x", DeviceID: "d", SharedAccessSignature: "SharedAccessSignature sr=h&sig=s&se=1"}},
		"x509":       {"HostName=h.x;DeviceId=d;x509=true", ConnectionString{HostName: "h.x", DeviceID: "d", X509: true}},
		"with port":  {"HostName=h.x:8884;DeviceId=d", ConnectionString{HostName: "h.x:8884", DeviceID: "d"}},
		"host alone": {"HostName=h.x", ConnectionString{HostName: "h.x"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseConnectionString(" " + tc.text + ";\n")
			if err != nil || got != tc.want {
				t.Errorf("parse = %+v, %v, want %+v", got, err, tc.want)
			}
			if got.String() != tc.text {
				t.Errorf("String() = %q, want %q", got.String(), tc.text)
			}
		})
	}
}

func TestConnectionStringInAnyOrder(t *testing.T) {
	got, err := ParseConnectionString("x509=False;SharedAccessKey=k;;DeviceId=d;HostName=h")
	if want := (ConnectionString{HostName: "h", DeviceID: "d", SharedAccessKey: "k"}); err != nil || got != want {
		t.Errorf("parse = %+v, %v, want %+v", got, err, want)
	}
}

func TestConnectionStringRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ text, says string }{
		"empty":              {"", "no HostName"},
		"no host":            {"DeviceId=d", "no HostName"},
		"module alone":       {"HostName=h;ModuleId=m", "without a DeviceId"},
		"unknown part":       {"HostName=h;Password=s3cret", `no part "Password"`},
		"case counts":        {"hostname=h", `no part "hostname"`},
		"a space in front":   {"HostName=h; DeviceId=d", `no part " DeviceId"`},
		"twice":              {"HostName=h;DeviceId=d;DeviceId=d", "DeviceId twice"},
		"x509 twice":         {"HostName=h;x509=true;x509=true", "x509 twice"},
		"no value":           {"HostName=h;SharedAccessKey=", "SharedAccessKey has no value"},
		"a blank value":      {"HostName= ;DeviceId=d", "HostName has white space around its value"},
		"a space behind":     {"HostName=h;SharedAccessKey=s3cret ;DeviceId=d", "SharedAccessKey has white space around its value"},
		"no name":            {"HostName=h;=s3cret", `no part ""`},
		"x509 maybe":         {"HostName=h;x509=s3cret", "x509 is true or false"},
		"a bare key":         {"HostName=h;s3crets3crets3cret", "part 2 "},
		"a key as the name":  {"HostName=h;" + strings.Repeat("x", 24) + "s3cret=x", "no part"},
		"only a long secret": {strings.Repeat("x", 24) + "s3cret=", "has no value"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConnectionString(tc.text)
			if hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("parse: %v, want ArgumentInvalid that says %q", err, tc.says)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error %q holds a secret", err)
			}
		})
	}
}
