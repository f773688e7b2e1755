package digitaltwin

import (
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// thermostats is the device twin of Microsoft's page "understand IoT Plug and
// Play digital twins", with what that leaves out.
const thermostats = `{"deviceId":"sample-device","etag":"AAAAAAAAAAQ=","modelId":"dtmi:com:example:TemperatureController;1","version":15,
 "tags":{"plant":"A"},
 "properties":{
  "desired":{"thermostat1":{"__t":"c","targetTemperature":21.80},"fanSpeed":2.0,
   "$metadata":{"$lastUpdated":"2020-07-17T06:11:04Z","$lastUpdatedVersion":4,
    "thermostat1":{"$lastUpdated":"2020-07-17T06:11:04Z","$lastUpdatedVersion":4,
     "__t":{"$lastUpdated":"2020-07-17T06:11:04Z","$lastUpdatedVersion":2},
     "targetTemperature":{"$lastUpdated":"2020-07-17T06:11:04Z","$lastUpdatedVersion":4}},
    "fanSpeed":{"$lastUpdated":"2020-07-17T06:09:00Z","$lastUpdatedVersion":2}},"$version":4},
  "reported":{"serialNumber":"alwinexlepaho8329",
   "thermostat1":{"maxTempSinceLastReboot":25.3,"__t":"c","targetTemperature":{"value":21.8,"ac":200,"av":4,"ad":"Successfully executed patch"}},
   "fanSpeed":{"value":3.0,"ac":203,"av":1},
   "$metadata":{"$lastUpdated":"2020-07-17T06:11:05Z",
    "serialNumber":{"$lastUpdated":"2020-07-17T06:10:31.9609233Z"},
    "thermostat1":{"$lastUpdated":"2020-07-17T06:11:04.9309159Z","__t":{"$lastUpdated":"2020-07-17T06:10:31Z"},
     "maxTempSinceLastReboot":{"$lastUpdated":"2020-07-17T06:10:31.9609233Z"},
     "targetTemperature":{"$lastUpdated":"2020-07-17T06:11:04.9309159Z","value":{"$lastUpdated":"2020-07-17T06:11:04.9309159Z"}}},
    "fanSpeed":{"$lastUpdated":"2020-07-17T06:10:32Z"}},"$version":11}}}`

const thermostatsDigital = `{"$dtId":"sample-device","serialNumber":"alwinexlepaho8329",` +
	`"thermostat1":{"maxTempSinceLastReboot":25.3,"targetTemperature":21.8,"$metadata":{` +
	`"maxTempSinceLastReboot":{"lastUpdateTime":"2020-07-17T06:10:31.9609233Z"},` +
	`"targetTemperature":{"desiredValue":21.80,"desiredVersion":4,"ackVersion":4,"ackCode":200,"ackDescription":"Successfully executed patch","lastUpdateTime":"2020-07-17T06:11:04.9309159Z"}}},` +
	`"fanSpeed":3.0,"$metadata":{"$model":"dtmi:com:example:TemperatureController;1",` +
	`"serialNumber":{"lastUpdateTime":"2020-07-17T06:10:31.9609233Z"},` +
	`"fanSpeed":{"desiredValue":2.0,"desiredVersion":2,"ackVersion":1,"ackCode":203,"lastUpdateTime":"2020-07-17T06:10:32Z"}}}`

// device is a twin with these sections, of which nothing is known but $version.
func device(desired, reported string) string {
	section := func(body string) string {
		if body == "{}" {
			return `{"$version":7}`
		}
		return body[:len(body)-1] + `,"$version":7}`
	}
	return `{"deviceId":"d","properties":{"desired":` + section(desired) + `,"reported":` + section(reported) + `}}`
}

func TestDocument(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ twin, want string }{
		"Microsoft's example": {thermostats, thermostatsDigital},
		"nothing":             {device(`{}`, `{}`), `{"$dtId":"d","$metadata":{"$model":""}}`},
		"only desired": {
			device(`{"a":1,"c":{"__t":"c","b":{"x":2}}}`, `{}`),
			`{"$dtId":"d","c":{"$metadata":{"b":{"desiredValue":{"x":2},"desiredVersion":7}}},"$metadata":{"$model":"","a":{"desiredValue":1,"desiredVersion":7}}}`,
		},
		"only reported": {
			device(`{}`, `{"a":{"value":1,"unit":"C"},"c":{"__t":"c"}}`),
			`{"$dtId":"d","a":{"value":1,"unit":"C"},"c":{"$metadata":{}},"$metadata":{"$model":"","a":{}}}`,
		},
		"an acknowledgement without version": {
			device(`{}`, `{"a":{"value":{"x":1},"ac":200}}`), `{"$dtId":"d","a":{"x":1},"$metadata":{"$model":"","a":{"ackCode":200}}}`,
		},
		"not an acknowledgement": {
			device(`{}`, `{"a":{"value":1,"ac":"ok"},"b":{"ac":200,"av":1},"c":{"value":1,"ac":200,"av":1.5}}`),
			`{"$dtId":"d","a":{"value":1,"ac":"ok"},"b":{"ac":200,"av":1},"c":{"value":1,"ac":200,"av":1.5},"$metadata":{"$model":"","a":{},"b":{},"c":{}}}`,
		},
		"a component that the device has not marked": {
			device(`{"c":{"__t":"c","a":1}}`, `{"c":{"a":2}}`),
			`{"$dtId":"d","c":{"a":2,"$metadata":{"a":{"desiredValue":1,"desiredVersion":7}}},"$metadata":{"$model":""}}`,
		},
		"a component here and a value there": {
			device(`{"c":{"__t":"c","a":1}}`, `{"c":2}`),
			`{"$dtId":"d","c":2,"$metadata":{"$model":"","c":{"desiredValue":{"__t":"c","a":1},"desiredVersion":7}}}`,
		},
		"another mark": {
			device(`{}`, `{"c":{"__t":"x","a":1}}`), `{"$dtId":"d","c":{"__t":"x","a":1},"$metadata":{"$model":"","c":{}}}`,
		},
		"odd names": {
			device(`{"a\"b":1}`, `{"ä/~":[1,{"b":null}]}`),
			`{"$dtId":"d","ä/~":[1,{"b":null}],"$metadata":{"$model":"","ä/~":{},"a\"b":{"desiredValue":1,"desiredVersion":7}}}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Document([]byte(tt.twin))
			if err != nil || string(got) != tt.want {
				t.Errorf("%v\ngot  %s\nwant %s", err, got, tt.want)
			}
		})
	}
}

func TestDocumentOfWhatIsNoTwin(t *testing.T) {
	t.Parallel()
	for _, text := range []string{``, `{`, `null`, `[]`, `{"deviceId":"d"}`, `{"deviceId":1,"properties":{"desired":{},"reported":{}}}`, `{"deviceId":"d","properties":{"desired":[],"reported":{}}}`} {
		if _, err := Document([]byte(text)); hub.CodeOf(err) != hub.ServerError {
			t.Errorf("%q: got %v, want ServerError", text, err)
		}
		if _, err := Patch([]byte(text), []byte(`[{"op":"remove","path":"/a"}]`)); hub.CodeOf(err) != hub.ServerError {
			t.Errorf("patch %q: got %v, want ServerError", text, err)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		component, command, want string
		code                     hub.Code
	}{
		"of the device":     {"", "reboot", "reboot", 0},
		"of a component":    {"thermostat1", "getMaxMinReport", "thermostat1*getMaxMinReport", 0},
		"no name":           {"thermostat1", "", "", hub.ArgumentInvalid},
		"a wrong component": {"thermo*stat", "reboot", "", hub.ArgumentInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := Command(tt.component, tt.command); got != tt.want || hub.CodeOf(err) != tt.code {
				t.Errorf("got %q, %v, want %q and code %d", got, err, tt.want, tt.code)
			}
		})
	}
}
