package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

// service is one published service SDK, and what it does where the SDKs differ.
type service struct {
	name string
	// device is the device SDK of the same language, for the other side.
	device *sdk
	// start runs the driver, which trusts the authority of the gateway.
	start func(t *testing.T, g *gateway) *driver
	// raises is the class of the SDK's error for an HTTP status.
	raises map[int]string
	// mute: its errors do not have the hub's name of what was wrong.
	mute bool
	// lacks are the operations and the facts that the SDK does not have.
	lacks []string
	// conditional are the operations that take an etag.
	conditional []string
	// raw: ids go into URLs as they are.
	raw bool
	// keyBytes is the length of keys that the SDK makes; 0: the hub makes them.
	keyBytes int
}

func (s *service) has(op string) bool { return !slices.Contains(s.lacks, op) }

// TestServiceNode runs the scenarios with azure-iothub for Node.
func TestServiceNode(t *testing.T) {
	t.Parallel()
	freeAddress(t) // before anything is installed
	device, argv := installNode(t, "driver.js"), installNode(t, "service.js")
	serviceSuite(t, &service{
		name:   "node",
		device: nodeSDK("mqtt", func(t *testing.T) *driver { return startDriver(t, device...) }),
		start: func(t *testing.T, g *gateway) *driver {
			return startDriver(t, slices.Concat([]string{"env", "NODE_EXTRA_CA_CERTS=" + g.Ready.CAFile}, argv[1:])...)
		},
		raises: map[int]string{
			400: "ArgumentError", 401: "UnauthorizedError", 404: "DeviceNotFoundError", 405: "Error", 409: "DeviceAlreadyExistsError",
			412: "InvalidEtagError", 504: "GatewayTimeoutError",
		},
		lacks:       []string{"replaceTwin", "testQueries", "feedback", "connectedDeviceCount"},
		conditional: []string{"update module", "remove module", "bulk", "updateConfiguration"},
	})
}

// TestServicePython runs the scenarios with azure-iot-hub for Python.
func TestServicePython(t *testing.T) {
	t.Parallel()
	freeAddress(t)
	python := installPython(t)
	raises := map[int]string{}
	for _, status := range []int{400, 401, 404, 405, 409, 412, 504} {
		raises[status] = "HttpOperationError"
	}
	serviceSuite(t, &service{
		name:   "python",
		device: pythonSDK("sync", "mqtt", func(t *testing.T) *driver { return startDriver(t, python, "python/driver.py", "sync") }),
		start: func(t *testing.T, g *gateway) *driver {
			return startDriver(t, "env", "REQUESTS_CA_BUNDLE="+g.Ready.CAFile, python, "python/service.py")
		},
		raises: raises,
		// It reads the array of jobs as one object of the swagger.
		lacks:       []string{"twinObject", "jobs"},
		conditional: []string{"update device", "update module", "remove device", "remove module", "bulk", "updateConfiguration"},
	})
}

// TestServiceJava runs the scenarios with iot-service-client for Java.
func TestServiceJava(t *testing.T) {
	t.Parallel()
	freeAddress(t)
	device, argv := installJava(t, "Driver"), installJava(t, "ServiceDriver")
	serviceSuite(t, &service{
		name:   "java",
		device: javaSDK("mqtt", func(t *testing.T) *driver { return startDriver(t, device...) }),
		start: func(t *testing.T, g *gateway) *driver {
			return startDriver(t, append(slices.Clone(argv), g.Ready.CAFile)...)
		},
		raises: map[int]string{
			400: "IotHubBadFormatException", 401: "IotHubUnauthorizedException", 404: "IotHubNotFoundException", 405: "IotHubException",
			409: "IotHubConflictException", 412: "IotHubPreconditionFailedException", 504: "IotHubGatewayTimeoutException",
		},
		mute: true,
		// It looks for enableDeviceCount, for applied in lower case, and for the method in
		// the row of a device; it knows no module without authentication, and tells nothing
		// of a digital twin that is not there.
		lacks: []string{
			"bulk", "devices", "testQueries", "twinObject", "feedback", "connectedDeviceCount",
			"enabledDeviceCount", "status of configurations", "edge modules", "404 of digital twins", "rows of methods",
		},
		conditional: []string{"remove device", "remove module"},
		raw:         true,
		keyBytes:    16,
	})
}

// serviceScenarios share one gateway: each makes identities of its own.
var serviceScenarios = []struct {
	name string
	run  func(t *testing.T, g *gateway, h *hub)
}{
	{"devices", devicesManaged},
	{"kinds of authentication", authenticationKept},
	{"hostile ids", hostileIDs},
	{"edge scopes", scopesOfEdge},
	{"modules", modulesManaged},
	{"bulk", bulkManaged},
	{"twins", twinsManaged},
	{"twin races", twinRaces},
	{"methods", methodsInvoked},
	{"methods refused", methodsRefused},
	{"query", queried},
	{"query pages", queryPages},
	{"twin jobs", twinJobs},
	{"method jobs", methodJobs},
	{"configurations", configurationsManaged},
	{"digital twins", digitalTwins},
	{"feedback", feedbackReceived},
	{"policies", policiesHold},
	{"not offered", notOffered},
}

// serviceSuite runs every scenario with one SDK.
func serviceSuite(t *testing.T, s *service) {
	g := startGateway(t)
	// First, for it counts what all make.
	t.Run("statistics", func(t *testing.T) { statisticsCount(t, g.in(t), s.open(t, g)) })
	t.Run("group", func(t *testing.T) {
		for _, scenario := range serviceScenarios {
			t.Run(scenario.name, func(t *testing.T) {
				t.Parallel()
				scenario.run(t, g.in(t), s.open(t, g))
			})
		}
	})
}

// fields is a JSON object, as an SDK shows it.
type fields map[string]any

// at is a member by its path; nil when it is missing.
func (o fields) at(path string) any {
	var v any = map[string]any(o)
	for name := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

// text is a member that is text; empty when it is none.
func (o fields) text(path string) string {
	s, _ := o.at(path).(string)
	return s
}

// id is the name of an identity, "dev" or "dev/mod".
func (o fields) id() string {
	if module := o.text("moduleId"); module != "" {
		return o.text("deviceId") + "/" + module
	}
	return o.text("deviceId")
}

// with is a copy with other members.
func (o fields) with(other fields) fields {
	all := maps.Clone(o)
	maps.Copy(all, other)
	return all
}

// hub is the operator's side: a service SDK with the keys of a policy.
type hub struct {
	*service
	t *testing.T
	d *driver
}

// open starts the SDK with all rights.
func (s *service) open(t *testing.T, g *gateway) *hub {
	t.Helper()
	h := &hub{service: s, t: t, d: s.start(t, g)}
	h.d.do("open", "service", args{"connectionString": g.Ready.ServiceConnectionString})
	return h
}

// ask runs an operation that must succeed.
func (h *hub) ask(op string, a args) json.RawMessage {
	h.t.Helper()
	return h.d.do(op, "service", a).Result
}

// one runs an operation that gives an object.
func (h *hub) one(op string, a args) fields {
	h.t.Helper()
	var o fields
	h.read(op, h.ask(op, a), &o)
	return o
}

// many runs an operation that gives a list.
func (h *hub) many(op string, a args) []fields {
	h.t.Helper()
	var all []fields
	h.read(op, h.ask(op, a), &all)
	return all
}

func (h *hub) read(op string, result json.RawMessage, v any) {
	h.t.Helper()
	if err := json.Unmarshal(result, v); err != nil {
		h.t.Fatalf("%s: the SDK gives %s: %v", op, result, err)
	}
}

// refused runs an operation that must fail, as the SDK tells of an HTTP status and
// the hub's name or number of what is wrong.
func (h *hub) refused(op string, a args, status int, name string) {
	h.t.Helper()
	h.wantRefusal(op, h.d.try(op, "service", a), status, name)
}

func (h *hub) wantRefusal(op string, err *sdkError, status int, name string) {
	h.t.Helper()
	switch {
	case err == nil:
		h.t.Errorf("%s: the SDK raised nothing, want %s of %d %s", op, h.raises[status], status, name)
	case err.Class != h.raises[status]:
		h.t.Errorf("%s: the SDK raised %v, want %s of %d %s", op, err, h.raises[status], status, name)
	case !h.mute && !strings.Contains(err.Message+err.Body, name):
		h.t.Errorf("%s: the SDK's error does not have %q: %v", op, name, err)
	}
}

// until repeats an operation while what it gives is not yet as wanted.
func (h *hub) until(what, op string, a args, match func(fields) bool) fields {
	h.t.Helper()
	deadline := time.After(patience)
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for {
		o := h.one(op, a)
		if match(o) {
			return o
		}
		select {
		case <-pause.C:
		case <-deadline:
			h.t.Fatalf("%s: no %s within %v; the SDK gives %v", op, what, patience, o)
		}
	}
}

// naming are the arguments that name a device or a module.
func naming(id string) args {
	device, module, isModule := strings.Cut(id, "/")
	if isModule {
		return args{"deviceId": device, "moduleId": module}
	}
	return args{"deviceId": device}
}

// and adds arguments.
func (a args) and(other args) args {
	all := maps.Clone(a)
	maps.Copy(all, other)
	return all
}

// make creates an identity by the SDK.
func (h *hub) make(id string, other fields) fields {
	h.t.Helper()
	return h.one("create", args{"identity": fields(naming(id)).with(other)})
}

// connectionString is what a device made by the SDK connects with.
func connectionString(g *gateway, o fields) string {
	s := fmt.Sprintf("HostName=%s;DeviceId=%s", g.Ready.HostName, o.text("deviceId"))
	if module := o.text("moduleId"); module != "" {
		s += ";ModuleId=" + module
	}
	return s + ";SharedAccessKey=" + o.text("authentication.symmetricKey.primaryKey")
}

// connect has a device of the SDK's language connect as an identity that the
// service SDK has made.
func (h *hub) connect(g *gateway, o fields, extra args) *driver {
	h.t.Helper()
	d := h.device.start(h.t)
	d.do("open", "a", h.device.open(g, o.id(), connectionString(g, o), extra))
	return d
}

// registry asks the registry by NATS.
func (g *gateway) registry(verb, id string) fields {
	g.t.Helper()
	m, err := g.ask("hub.registry."+verb+"."+hubtest.Key(id), nil, "")
	if err != nil {
		g.t.Fatal(err)
	}
	var o fields
	if err := json.Unmarshal(m.Data, &o); err != nil {
		g.t.Fatalf("read %s: %v", m.Data, err)
	}
	return o
}

// show has the CLI print something as JSON.
func (g *gateway) show(args ...string) fields {
	g.t.Helper()
	var o fields
	text := g.cli(append(args, "-o", "json")...)
	if err := json.Unmarshal(text, &o); err != nil {
		g.t.Fatalf("read the output of %q: %v\n%s", args, err, text)
	}
	return o
}

// rows reads all rows of a query.
func (h *hub) rows(query, kind string) []fields {
	h.t.Helper()
	return slices.Concat(h.pages(args{"query": query, "kind": kind}).Pages...)
}

// found is what a query has found.
type found struct {
	Pages        [][]fields `json:"pages"`
	Continuation string     `json:"continuation"`
	Kind         string     `json:"kind"`
}

// pages runs a query with the given arguments.
func (h *hub) pages(a args) found {
	h.t.Helper()
	var f found
	h.read("query", h.ask("query", a), &f)
	return f
}
