package iothub

import (
	"testing"

	"github.com/hubgate/hubgate/hub"
)

func TestEventsBag(t *testing.T) {
	dev := hub.Identity{Device: "dev1"}
	mod := hub.Identity{Device: "dev1", Module: "mod1"}
	odd := hub.Identity{Device: "a.b+%#"}
	for topic, tc := range map[string]struct {
		id  hub.Identity
		bag string
		ok  bool
	}{
		"devices/dev1/messages/events":                           {dev, "", true},
		"devices/dev1/messages/events/":                          {dev, "", true},
		"devices/dev1/messages/events/a=b&c=d/e/":                {dev, "a=b&c=d/e/", true},
		"devices/dev1/messages/events/p1=v w/+%&%24.mid=a b/c":   {dev, "p1=v w/+%&%24.mid=a b/c", true},
		"devices/dev1/modules/mod1/messages/events/%24.on=out1/": {mod, "%24.on=out1/", true},
		"devices/a.b+%#/messages/events/":                        {odd, "", true},
		"devices/dev2/messages/events/":                          {dev, "", false},
		"devices/dev11/messages/events/":                         {dev, "", false},
		"devices/dev1/modules/mod1/messages/events/":             {dev, "", false},
		"devices/dev1/modules/mod2/messages/events/":             {mod, "", false},
		"devices/dev1/messages/eventsx":                          {dev, "", false},
		"devices/dev1/messages/devicebound/":                     {dev, "", false},
		"/devices/dev1/messages/events/":                         {dev, "", false},
		"devices/DEV1/messages/events/":                          {dev, "", false},
		"$iothub/twin/GET/?$rid=1":                               {dev, "", false},
	} {
		t.Run(topic, func(t *testing.T) {
			bag, err := eventsBag([]byte(topic), tc.id)
			if (err == nil) != tc.ok || string(bag) != tc.bag {
				t.Errorf("eventsBag = %q, %v, want %q, ok %v", bag, err, tc.bag, tc.ok)
			}
			if err != nil && hub.CodeOf(err) != hub.ArgumentInvalid {
				t.Errorf("code %d, want ArgumentInvalid", hub.CodeOf(err))
			}
		})
	}
}

// The table of the reference: what the SDKs and edgeHub's users subscribe to.
func TestGrant(t *testing.T) {
	dev := hub.Identity{Device: "dev1"}
	mod := hub.Identity{Device: "dev1", Module: "mod1"}
	for filter, want := range map[string][2]bool{ // granted to the device, to the module
		"devices/dev1/messages/devicebound/#":              {true, false},
		"devices/+/messages/devicebound/#":                 {true, false}, // embedded C
		"devices/dev1/modules/mod1/messages/devicebound/#": {false, true}, // Java, at open
		"devices/dev1/modules/mod1/inputs/#":               {false, true},
		"devices/dev1/modules/mod1/inputs/in1/#":           {false, true},
		"devices/dev1/modules/mod1/#":                      {false, true}, // C, C#
		"$iothub/twin/res/#":                               {true, true},
		"$iothub/twin/PATCH/properties/desired/#":          {true, true},
		"$iothub/methods/POST/#":                           {true, true},
		"$iothub/methods/POST/reboot/#":                    {true, true},
		"$iothub/methods/POST/+/#":                         {false, false},
		"$iothub/methods/POST/a/b/#":                       {false, false},
		"$iothub/methods/POST/reboot":                      {false, false},
		"$iothub/methods/POST//#":                          {false, false},
		"devices/dev1/modules/mod1/inputs/in1":             {false, false},
		"devices/dev1/modules/mod1/inputs//#":              {false, false},
		"devices/dev1/modules/mod1/inputs/+/#":             {false, false},
		"devices/dev1/modules/mod1/inputs/a/b/#":           {false, false},
		"devices/dev1/modules/mod1/in1/#":                  {false, false},
		"$iothub/#":                                        {false, false},
		"$iothub/twin/#":                                   {false, false},
		"devices/dev2/messages/devicebound/#":              {false, false},
		"devices/dev1/modules/mod2/inputs/#":               {false, false},
		"devices/+/modules/+/inputs/#":                     {false, false},
		"devices/dev1/#":                                   {false, false},
		"#":                                                {false, false},
		"+/+/+/#":                                          {false, false},
	} {
		t.Run(filter, func(t *testing.T) {
			for i, id := range []hub.Identity{dev, mod} {
				for qos := range byte(3) {
					got, err := grant(id, filter, qos)
					if (err == nil) != want[i] || (err == nil && got != min(qos, 1)) {
						t.Errorf("grant(%s, QoS %d) = %d, %v, want granted %v", id, qos, got, err, want[i])
					}
				}
			}
		})
	}
}

func FuzzEventsBag(f *testing.F) {
	f.Add([]byte("devices/dev1/messages/events/a=b"), "dev1", "")
	f.Add([]byte("devices/dev1/modules/m/messages/events/a=b"), "dev1", "m")
	f.Fuzz(func(t *testing.T, topic []byte, device, module string) {
		id := hub.Identity{Device: device, Module: module}
		bag, err := eventsBag(topic, id)
		if err != nil {
			return
		}
		prefix := "devices/" + device + "/"
		if module != "" {
			prefix += "modules/" + module + "/"
		}
		prefix += "messages/events"
		if got := string(topic); got != prefix+string(bag) && got != prefix+"/"+string(bag) {
			t.Errorf("eventsBag(%q, %v) = %q", topic, id, bag)
		}
	})
}
