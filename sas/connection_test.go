package sas

import (
	"testing"

	"github.com/hubgate/hubgate/hub"
)

func TestConnectionString(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want ConnectionString
	}{
		"device":  {"HostName=h.x;DeviceId=d;SharedAccessKey=YWJj==", ConnectionString{HostName: "h.x", DeviceID: "d", SharedAccessKey: "YWJj=="}},
		"module":  {"HostName=h.x;DeviceId=d;ModuleId=m;SharedAccessKey=k=;GatewayHostName=g", ConnectionString{HostName: "h.x", DeviceID: "d", ModuleID: "m", SharedAccessKey: "k=", GatewayHostName: "g"}},
		"service": {"HostName=h.x;SharedAccessKeyName=iothubowner;SharedAccessKey=k", ConnectionString{HostName: "h.x", SharedAccessKeyName: "iothubowner", SharedAccessKey: "k"}},
		"token":   {"HostName=h.x;DeviceId=d;SharedAccessSignature=SharedAccessSignature sr=h&sig=s&se=1", ConnectionString{HostName: "h.x", DeviceID: "d", SharedAccessSignature: "SharedAccessSignature sr=h&sig=s&se=1"}},
		"x509":    {"HostName=h.x;DeviceId=d;x509=true", ConnectionString{HostName: "h.x", DeviceID: "d", X509: "true"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseConnectionString(tc.in + ";")
			if err != nil || got != tc.want {
				t.Errorf("parse = %+v, %v, want %+v", got, err, tc.want)
			}
			if got.String() != tc.in {
				t.Errorf("String() = %q, want %q", got.String(), tc.in)
			}
		})
	}
	for name, in := range map[string]string{
		"unknown part": "HostName=h;Password=x", "no host": "DeviceId=d", "twice": "HostName=h;HostName=i", "empty": "", "case": "hostname=h",
	} {
		if _, err := ParseConnectionString(in); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %v, want ArgumentInvalid", name, err)
		}
	}
}
