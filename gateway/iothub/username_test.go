package iothub

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

func TestParseUsername(t *testing.T) {
	dev := hub.Identity{Device: "dev1"}
	mod := hub.Identity{Device: "dev1", Module: "mod1"}
	for name, tc := range map[string]struct {
		in   string
		want username
	}{
		"Node": {
			"localhost/dev1/?api-version=2021-04-12&model-id=dtmi:com:example:Thermostat;1&DeviceClientType=azure-iot-device%2F1.18.4%20(node%20v20.20.2%3B%20Debian%2012%3B%20x64)My%20App%2F1.0%20(x)",
			username{"localhost", dev, "azure-iot-device/1.18.4 (node v20.20.2; Debian 12; x64)My App/1.0 (x)", "dtmi:com:example:Thermostat;1"},
		},
		"Node with a port in HostName": {"hub.example:8884/dev1/?api-version=2021-04-12", username{"hub.example", dev, "", ""}},
		"Python": {
			"localhost/dev1/?api-version=2019-10-01&DeviceClientType=azure-iot-device-iothub-py%2F2.14.0%283.11.7%3BLinux%29",
			username{"localhost", dev, "azure-iot-device-iothub-py/2.14.0(3.11.7;Linux)", ""},
		},
		"C, lower-case escapes": {
			"myhub.example.test/dev1/?api-version=2020-09-30&DeviceClientType=iothubclient%2f1.15.0%20(native%3b%20Linux)&model-id=dtmi%3acom%3aexample%3aThermostat%3b1",
			username{"myhub.example.test", dev, "iothubclient/1.15.0 (native; Linux)", "dtmi:com:example:Thermostat;1"},
		},
		"Go, no question mark":       {"h.x/dev1/api-version=2020-09-30", username{"h.x", dev, "", ""}},
		"Arduino, a raw slash":       {"h.x/dev1/?api-version=2018-06-30&c/1.3.0-beta.1(ard;esp8266)", username{"h.x", dev, "", ""}},
		"module":                     {"h.x/dev1/mod1/?api-version=2021-04-12", username{"h.x", mod, "", ""}},
		"bare":                       {"h.x/dev1", username{"h.x", dev, "", ""}},
		"bare with a slash":          {"h.x/dev1/", username{"h.x", dev, "", ""}},
		"machine learning":           {"h.x/dev1/mod1/api-version=2017-06-30/DeviceClientType=py-azure-iot/1.5.1-preview-003", username{"h.x", mod, "", ""}},
		"of duplicates the first":    {"h.x/dev1/?model-id=a&model-id=b", username{"h.x", dev, "", "a"}},
		"a bad escape stays":         {"h.x/dev1/?DeviceClientType=50%zz", username{"h.x", dev, "50%zz", ""}},
		"an id with every character": {"h.x/-:.+%_#*?!(),=@;$'/?api-version=1", username{"h.x", hub.Identity{Device: "-:.+%_#*?!(),=@;$'"}, "", ""}},
		"IPv6 host":                  {"[::1]/dev1/", username{"[::1]", dev, "", ""}},
		"an agent without end":       {"h.x/dev1/?DeviceClientType=" + strings.Repeat("é", 1000), username{"h.x", dev, strings.Repeat("é", 512), ""}},
		"no UTF-8":                   {"h.x/dev1/?DeviceClientType=a%FF&model-id=%FE", username{"h.x", dev, "a?", "?"}},
		"unknown option":             {"h.x/dev1/?api-version=2099-01-01&auth-chain=a;b&x", username{"h.x", dev, "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseUsername(tc.in)
			if err != nil || got != tc.want {
				t.Errorf("parseUsername(%q)\n got %+v, %v\nwant %+v", tc.in, got, err, tc.want)
			}
		})
	}
}

func TestParseUsernameRefuses(t *testing.T) {
	for _, in := range []string{"", "h.x", "h.x/", "h.x/d 1/?api-version=1", "h.x/d\x00/", "h.x/dev1/m>/?a=b", "h.x/dev1/?model-id=" + strings.Repeat("x", 2049)} {
		if u, err := parseUsername(in); hub.CodeOf(err) != hub.Unauthorized {
			t.Errorf("parseUsername(%q) = %+v, %v, want Unauthorized: the only code that lets every SDK try again", in, u, err)
		}
	}
}
