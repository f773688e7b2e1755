package conformance

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// sdk is one published SDK through one of its faces and transports, and what it
// does where the SDKs differ.
type sdk struct {
	name      string // as in the names of tests and transcripts
	transport string // "mqtt" or "ws"
	start     func(t *testing.T) *driver

	// adapt makes of a message to be sent by an identity what arrives: it takes away
	// what the SDK can't set, and adds what it sets by itself.
	adapt func(id string, m message) message
	// shown makes of a message that is sent to a device what the SDK shows of it.
	shown func(id string, m message) message
	// verbs are the SDK's errors when a message is settled by that verb; nil: the
	// application can't settle any.
	verbs map[string]string
	// inventsIDs: a message without a correlation id gets one from the SDK.
	inventsIDs bool
	// outputs: the SDK's module client can send to an output.
	outputs bool
	// x509Modules: the SDK's module client can show a certificate.
	x509Modules bool
	// unauthorized and disabled are the SDK's errors for these refusals.
	unauthorized, disabled string
	// reorders: messages that wait in the SDK may change places. Java's sender takes
	// its queue apart and puts it back behind what was added meanwhile.
	reorders bool
	// mortal is the error of which the SDK's network thread can die when its
	// connection is cut while it writes. paho-mqtt 1.6 expects a ConnectionError.
	mortal string
	// quits is the error of the disconnect event by which the SDK says that it does
	// not come back by itself. Node's does so when its connection breaks while it
	// writes: its filter of errors knows no EPIPE.
	quits string
	// retriesFirst: the SDK retries its first connection too.
	retriesFirst bool
	// replaces: the application can give the SDK a new token.
	replaces bool
	// badKey is the SDK's error for a reported property whose name holds a dot.
	badKey string
	// shuffles: the SDK hands notifications to a pool of threads, so that the handler
	// can be called for a later one first.
	shuffles bool
	// dropsUnknown: a call of a method that the application has not registered gets no
	// answer. Else one handler gets all calls, and the driver's answers 404.
	dropsUnknown bool
	// acknowledged: the SDK tells its application when the answer to a call has its
	// PUBACK.
	acknowledged bool
	// renewal are the arguments of open with which the SDK renews its token
	// within seconds.
	renewal func(g *gateway, who identity, device string) args
	// expired are the arguments of open with which the SDK sends an expired token.
	expired func(g *gateway, who identity, device string) args
}

func (s *sdk) String() string { return s.name + "-" + s.transport }

// trim is adapt for one identity.
func (s *sdk) trim(id string) func(message) message {
	return func(m message) message { return s.adapt(id, m) }
}

// open returns the arguments of open for an identity, with extra ones added.
func (s *sdk) open(g *gateway, id, connectionString string, extra args) args {
	a := args{
		"connectionString": connectionString,
		"transport":        s.transport,
		"module":           strings.Contains(id, "/"),
		"caFile":           g.Ready.CAFile,
		"retrySeconds":     1,
	}
	maps.Copy(a, extra)
	return a
}

const (
	filterMethods = "$iothub/methods/POST/#"
	filterTwin    = "$iothub/twin/res/#"
	filterDesired = "$iothub/twin/PATCH/properties/desired/#"
)

// nodeSDK is azure-iot-device with azure-iot-device-mqtt.
func nodeSDK(transport string, start func(t *testing.T) *driver) *sdk {
	return &sdk{
		name:      "node",
		transport: transport,
		start:     start,
		adapt: func(_ string, m message) message {
			m.CreationTime = "" // never sent by the SDK
			return m
		},
		shown: func(id string, m message) message {
			m = delivered(id, m)
			m.rename("iothub-ack", &m.Ack) // it knows neither, so they look like the application's
			m.rename("$.ctime", &m.CreationTime)
			return m
		},
		verbs:        map[string]string{"complete": "", "reject": "NotImplementedError", "abandon": "NotImplementedError"},
		outputs:      true,
		unauthorized: "UnauthorizedError",
		disabled:     "ServiceUnavailableError",
		retriesFirst: true,
		replaces:     true,
		quits:        "Error",
		badKey:       "Error",
		dropsUnknown: true,
		renewal: func(*gateway, identity, string) args {
			return args{"tokenSeconds": 6, "marginSeconds": 4}
		},
		expired: func(g *gateway, who identity, device string) args {
			return args{"tokens": []string{sign(g.Ready.HostName, device, who, ago)}}
		},
	}
}

// pythonSDK is azure-iot-device by one of its faces, sync or aio.
func pythonSDK(face, transport string, start func(t *testing.T) *driver) *sdk {
	return &sdk{
		name:      "python-" + face,
		transport: transport,
		start:     start,
		adapt: func(_ string, m message) message {
			m.To, m.CreationTime, m.Component = "", "", "" // no way to set them
			return m
		},
		shown: func(id string, m message) message {
			m = delivered(id, m)
			m.To = ""
			m.rename("$.ctime", &m.CreationTime) // it does not know it
			return m
		},
		outputs:      true,
		x509Modules:  true,
		unauthorized: "CredentialError",
		disabled:     "ConnectionFailedError",
		mortal:       "SSLEOFError",
		replaces:     true,
		badKey:       "ServiceError",
		shuffles:     true,
		acknowledged: true,
		renewal: func(*gateway, identity, string) args {
			return args{"tokenSeconds": 123} // renewed 120 s before its end
		},
		expired: func(*gateway, identity, string) args {
			return args{"tokenSeconds": -int(ago.Seconds())}
		},
	}
}

// javaSDK is iot-device-client.
func javaSDK(transport string, start func(t *testing.T) *driver) *sdk {
	return &sdk{
		name:      "java",
		transport: transport,
		start:     start,
		adapt: func(id string, m message) message {
			m.SenderDevice, m.SenderModule, _ = strings.Cut(id, "/")
			m.To, m.Expiry = "", "" // no way to set them, or not sent over MQTT
			m.Properties = slices.DeleteFunc(slices.Clone(m.Properties), func(p [2]string) bool {
				return p[1] == "" // left out by the SDK
			})
			return m
		},
		shown: func(id string, m message) message {
			m = delivered(id, m)
			m.To, m.Expiry, m.Ack, m.UserID = "", "", "", "" // it drops them
			m.rename("$.ctime", &m.CreationTime)             // it does not know it
			return m
		},
		inventsIDs:   true,
		verbs:        map[string]string{"complete": "", "reject": "", "abandon": ""},
		outputs:      true,
		unauthorized: "MqttUnauthorizedException",
		disabled:     "MqttServerUnavailableException",
		reorders:     true,
		retriesFirst: true,
		badKey:       "IotHubClientException",

		renewal: func(g *gateway, who identity, device string) args {
			// The SDK renews when the hub closes, which is after the allowance for
			// clock skew: the first token has all but used it up.
			return args{"tokens": []string{
				sign(g.Ready.HostName, device, who, skew-almost),
				sign(g.Ready.HostName, device, who, skew-2*almost),
				sign(g.Ready.HostName, device, who, -anHour),
			}}
		},
		expired: func(g *gateway, who identity, device string) args {
			return args{"tokens": []string{sign(g.Ready.HostName, device, who, ago)}}
		},
	}
}

// delivered is what a message to a device has when it leaves the hub.
func delivered(id string, m message) message {
	m.To = "/devices/" + id + "/messages/deviceBound"
	if m.Ack == "" {
		m.Ack = "none"
	}
	m.Properties = slices.DeleteFunc(slices.Clone(m.Properties), func(p [2]string) bool { return p[1] == "" })
	return m
}

// rename makes an application property of a system property.
func (m *message) rename(name string, field *string) {
	if *field != "" {
		m.Properties = append(m.Properties, [2]string{name, *field})
		*field = ""
	}
}
