package conformance

import (
	"strings"
	"testing"
)

// TestNode runs the scenarios with azure-iot-device for Node.
func TestNode(t *testing.T) {
	t.Parallel()
	freeAddress(t) // before anything is installed
	argv := installNode(t, "driver.js")
	start := func(t *testing.T) *driver { return startDriver(t, argv...) }
	suite(t, nodeSDK("mqtt", start), nodeSDK("ws", start))
}

// TestPython runs the scenarios with azure-iot-device for Python.
func TestPython(t *testing.T) {
	t.Parallel()
	freeAddress(t)
	python := installPython(t)
	face := func(name string) func(t *testing.T) *driver {
		return func(t *testing.T) *driver { return startDriver(t, python, "python/driver.py", name) }
	}
	suite(t,
		pythonSDK("sync", "mqtt", face("sync")),
		pythonSDK("aio", "mqtt", face("aio")),
		pythonSDK("sync", "ws", face("sync")))
}

// TestJava runs the scenarios with iot-device-client for Java.
func TestJava(t *testing.T) {
	t.Parallel()
	freeAddress(t)
	argv := installJava(t, "Driver")
	start := func(t *testing.T) *driver { return startDriver(t, argv...) }
	suite(t, javaSDK("mqtt", start), javaSDK("ws", start))
}

// scenarios that share one gateway: each makes identities of its own.
var scenarios = []struct {
	name string
	run  func(t *testing.T, g *gateway, s *sdk)
}{
	{"telemetry", telemetryArrives},
	{"hostile device id", hostileDeviceID},
	{"gateway host name", gatewayHostName},
	{"module", moduleSends},
	{"twin", twinOfDevice},
	{"twin of a module", twinOfModule},
	{"methods", methodsOfDevice},
	{"methods of a module", methodsOfModule},
	{"c2d", c2dArrives},
	{"c2d settled", c2dSettled},
	{"c2d expires", c2dExpires},
	{"c2d while away", c2dWhileAway},
	{"refused", refused},
	{"x509 thumbprint", x509Thumbprint},
	{"x509 authority", x509Authority},
	{"disabled then enabled", disabledThenEnabled},
	{"token renewal", tokenRenewal},
	{"token replaced", tokenReplaced},
	{"takeover", takeover},
	{"cut", cut},
}

// suite runs every scenario through every face and transport of one SDK.
func suite(t *testing.T, sdks ...*sdk) {
	var aliases []string // one address for the recorder of each SDK
	flags := []string{"--alias", formerHub}
	for range sdks {
		aliases = append(aliases, freeAddress(t))
		flags = append(flags, "--alias", aliases[len(aliases)-1])
	}
	g := startGateway(t, flags...)
	// The group returns when its parallel subtests have, before the gateway stops.
	t.Run("group", func(t *testing.T) {
		for i, s := range sdks {
			for _, scenario := range scenarios {
				t.Run(s.String()+"/"+scenario.name, func(t *testing.T) {
					t.Parallel()
					scenario.run(t, g.in(t), s)
				})
			}
			t.Run(s.String()+"/wire transcript", func(t *testing.T) {
				t.Parallel()
				transcript(t, g.in(t), s, aliases[i])
			})
			// These stop the gateway, so each has its own.
			t.Run(s.String()+"/restarted while sending", func(t *testing.T) {
				t.Parallel()
				restartedWhileSending(t, s)
			})
			t.Run(s.String()+"/subscriptions outlive the gateway", func(t *testing.T) {
				t.Parallel()
				subscriptionsOutlive(t, s)
			})
			t.Run(s.String()+"/c2d delivered again", func(t *testing.T) {
				t.Parallel()
				c2dAgain(t, s)
			})
			t.Run(s.String()+"/c2d outlives the gateway", func(t *testing.T) {
				t.Parallel()
				c2dOutlives(t, s)
			})
		}
	})
}

// deviceName makes a device id from the name of a test.
func deviceName(t *testing.T) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("/ #", r) {
			return '-'
		}
		return r
	}, t.Name())
}
