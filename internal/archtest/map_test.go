package archtest

// rule says what one package of this module may import of this module.
type rule struct {
	imports []string // by any file
	tests   []string // by its tests too
}

// arrows returns the package map: every package of the module that is not
// below one of the free directories. A new package is added here and to
// ARCHITECTURE.md, with its reason, or its code goes where it belongs.
func arrows() map[string]rule {
	// A store that a test keeps in memory passes the suite of the real one.
	suite := []string{"backend/backendtest"}
	return map[string]rule{
		"hub": {},

		// What is counted everywhere, for whoever shows it.
		"meter": {imports: []string{"hub"}},

		// What is traced everywhere, for whoever shows it.
		"span": {imports: []string{"hub"}},

		// The fast lane of encoding/json, for what is read and written all the time.
		"internal/plainjson": {},

		// Errors of sockets, which Windows has other numbers for.
		"internal/sockerr": {},

		// Features: their rules, their types and the store they need. No feature
		// imports another one.
		"sas":       {imports: []string{"hub"}},
		"identity":  {imports: []string{"hub", "internal/plainjson"}, tests: suite},
		"telemetry": {imports: []string{"hub", "span"}},
		"session":   {imports: []string{"hub"}, tests: suite},
		"twin":      {imports: []string{"hub"}},
		"methods":   {imports: []string{"hub", "span"}},
		"c2d":       {imports: []string{"hub"}},
		"timeline":  {imports: []string{"hub"}},
		"trust":     {imports: []string{"hub"}, tests: []string{"trust/trusttest"}},

		// Certificates for the tests of many packages.
		"trust/trusttest": {},

		"credential": {imports: []string{"hub"}},

		"query":         {imports: []string{"hub"}},
		"jobs":          {imports: []string{"hub"}, tests: suite},
		"configuration": {imports: []string{"hub"}},
		"digitaltwin":   {imports: []string{"hub"}},

		// The front end. It never sees the backend.
		"gateway/mqtt": {},
		"gateway":      {imports: []string{"hub", "session", "meter", "span", "timeline", "gateway/mqtt"}, tests: append([]string{"trust/trusttest"}, suite...)},
		"gateway/iothub": {
			imports: []string{
				"hub", "sas", "identity", "telemetry", "session", "methods", "twin", "c2d", "credential", "meter", "span", "timeline", "trust", "gateway", "gateway/mqtt",
			},
			tests: []string{"trust/trusttest"},
		},
		// A translation is tested on the stores that it is used with.
		"gateway/rest": {
			imports: []string{"hub", "sas", "identity", "twin", "methods", "c2d", "query", "jobs", "configuration", "digitaltwin", "meter", "span"},
			tests:   []string{"backend", "backend/client", "backend/embedded", "backend/subject"},
		},

		// The backbone. It never sees the front end.
		"backend/subject":  {imports: []string{"hub"}},
		"backend/direct":   {tests: []string{"backend/embedded"}},
		"backend/embedded": {imports: []string{"internal/sockerr"}, tests: []string{"trust/trusttest"}},
		"backend": {
			imports: []string{"hub", "sas", "identity", "telemetry", "session", "twin", "methods", "c2d", "credential", "timeline", "trust", "query", "jobs", "configuration", "meter", "span", "internal/plainjson", "backend/subject", "backend/direct"},
			tests:   []string{"backend/embedded", "backend/backendtest", "trust/trusttest"},
		},
		// The stores know nothing of copies of them.
		"backend/backup": {
			imports: []string{"hub", "session", "backend", "backend/subject"},
			tests:   []string{"backend/embedded"},
		},
		"backend/backendtest": {
			imports: []string{"hub", "sas", "identity", "telemetry", "session", "jobs"},
		},
		"backend/client": {
			imports: []string{"hub", "sas", "identity", "telemetry", "twin", "methods", "c2d", "timeline", "trust", "query", "jobs", "configuration", "backend/subject", "backend/direct"},
			tests:   []string{"backend", "backend/embedded", "sas", "session", "trust/trusttest"},
		},
	}
}

// freeDirs returns the directories whose packages may import everything of
// this module, and whom no package on the map may import: commands, what they
// are made of, samples and tests.
func freeDirs() []string {
	return []string{"cmd", "internal", "samples", "test"}
}

// dependencies returns who may import which module from outside, tests aside.
// A place covers the packages below it; internal may import what cmd may. What
// is not here is not a dependency of the product.
func dependencies() map[string][]string {
	return map[string][]string{
		"filippo.io/age":                        {"backend/backup", "cmd"},
		"github.com/KimMachineGun/automemlimit": {"cmd"},
		"github.com/MicahParks/keyfunc/v3":      {"gateway/rest"},
		"github.com/RoaringBitmap/roaring/v2":   {"query"},
		"github.com/alecthomas/kong":            {"cmd"},
		"github.com/coder/websocket":            {"cmd", "gateway"},
		"github.com/go-json-experiment/json":    {"twin", "query", "digitaltwin", "configuration", "jobs", "gateway/rest"},
		"github.com/go-logr/logr":               {"cmd/hubgate/internal/tracing"},
		"github.com/golang-jwt/jwt/v5":          {"gateway/rest"},
		"github.com/mattn/go-isatty":            {"cmd"},
		"github.com/nats-io/jwt/v2":             {"backend/embedded"},
		"github.com/nats-io/nats-server/v2":     {"backend/embedded"},
		"github.com/nats-io/nats.go":            {"backend", "cmd"},
		"github.com/nats-io/nkeys":              {"backend", "cmd"},
		"github.com/nats-io/nuid":               {"backend"},
		"github.com/prometheus/client_golang":   {"cmd/hubgate/internal/monitor"},
		"github.com/rs/zerolog":                 {"backend", "cmd", "gateway"},
		"github.com/tidwall/btree":              {"query"},
		"go.yaml.in/yaml/v3":                    {"cmd"},
		"go.opentelemetry.io/otel":              {"cmd/hubgate/internal/tracing"},
		"go.opentelemetry.io/proto/otlp":        {"cmd/hubgate/internal/tracing"},
		"golang.org/x/sync":                     {"backend", "cmd"},
		"golang.org/x/sys":                      {"backend/embedded", "cmd", "gateway"},
		"golang.org/x/time":                     {"cmd", "gateway"},
		"google.golang.org/protobuf":            {"cmd/hubgate/internal/tracing"},
	}
}
