package docs

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"go.yaml.in/yaml/v3"

	"github.com/hubgate/hubgate/gateway/rest"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

// contract is gateway/rest/openapi.yaml.
type contract struct {
	text  []byte
	check validator.Validator // of the document, closed up

	operations map[string]*operation // by verb and path, such as GET /devices/{id}
	common     []string              // names of errors that every operation may have
	headers    map[string]bool       // that answers have
}

// operation is one of the document.
type operation struct {
	name string // its operationId
	path string
	needs,
	also string // names of permissions
	errors   []string
	statuses []string
	open     bool // to everybody
}

// TestOpenAPI holds the document against OpenAPI, against the routes of the
// handlers, both ways, and against what a running hub answers.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	t.Run("routes", c.testRoutes)
	t.Run("errors", c.testErrors)
	t.Run("calls", c.testCalls)
}

func readContract(t *testing.T) *contract {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "gateway", "rest", "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, _ := open(t, text)
	c := &contract{text: text, operations: map[string]*operation{}, headers: map[string]bool{}}
	c.closeUp(t)
	model, err := doc.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	if err := model.Model.Extensions.GetOrZero("x-common-errors").Decode(&c.common); err != nil {
		t.Fatal(err)
	}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for verb, op := range item.GetOperations().FromOldest() {
			c.operations[strings.ToUpper(verb)+" "+path] = readOperation(t, path, op)
		}
	}
	return c
}

// open reads a document, which has to be OpenAPI 3.1.
func open(t *testing.T, text []byte) (libopenapi.Document, validator.Validator) {
	t.Helper()
	doc, err := libopenapi.NewDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	check, faults := validator.NewValidator(doc, config.WithFormatAssertions(), config.WithoutSecurityValidation())
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	if ok, wrong := check.ValidateDocument(); !ok {
		t.Fatalf("the document is not OpenAPI 3.1: %q", reasons(wrong))
	}
	return doc, check
}

// closeUp makes of the document one that is as strict as it can be read, for
// what is seen: what a schema does not name is not there, nor is a header that
// no answer has.
func (c *contract) closeUp(t *testing.T) {
	t.Helper()
	var parsed any
	if err := yaml.Unmarshal(c.text, &parsed); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(parsed) // the types are those of JSON from now on
	if err != nil {
		t.Fatal(err)
	}
	var root object
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	closeSchemas(root)
	c.collectHeaders(root)
	if text, err = json.Marshal(root); err != nil {
		t.Fatal(err)
	}
	_, c.check = open(t, text)
}

// collectHeaders notes the headers of all answers.
func (c *contract) collectHeaders(v any) {
	switch v := v.(type) {
	case object:
		if _, isAnswer := v["description"]; isAnswer {
			for name := range child(v, "headers") {
				c.headers[http.CanonicalHeaderKey(name)] = true
			}
		}
		for _, inner := range v {
			c.collectHeaders(inner)
		}
	case []any:
		for _, inner := range v {
			c.collectHeaders(inner)
		}
	}
}

func readOperation(t *testing.T, path string, op *v3.Operation) *operation {
	t.Helper()
	o := &operation{name: op.OperationId, path: path, open: op.Security != nil && len(op.Security) == 0}
	for name, to := range map[string]any{"x-permission": &o.needs, "x-also": &o.also, "x-errors": &o.errors} {
		if node, ok := op.Extensions.Get(name); ok {
			if err := node.Decode(to); err != nil {
				t.Fatalf("%s: %s: %v", o.name, name, err)
			}
		}
	}
	for status := range op.Responses.Codes.KeysFromOldest() {
		o.statuses = append(o.statuses, status)
	}
	if op.Responses.Default != nil {
		o.statuses = append(o.statuses, "default")
	}
	return o
}

// parameters matches what names a part of a path.
func parameters(path string) string {
	return regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "{}")
}

// testRoutes compares the operations with the table of the handlers.
func (c *contract) testRoutes(t *testing.T) {
	said := map[string]*operation{}
	for line, op := range c.operations {
		if !op.open {
			said[parameters(line)] = op
		}
	}
	for r := range rest.Routes() {
		line := r.Verb + " " + r.Pattern
		op := said[parameters(line)]
		delete(said, parameters(line))
		if op == nil {
			t.Errorf("the document has no %s", line)
			continue
		}
		if op.needs != permission(r.Needs) || op.also != permission(r.Also) {
			t.Errorf("%s: x-permission is %q, x-also is %q, and the handler wants %q or %q", line, op.needs, op.also, permission(r.Needs), permission(r.Also))
		}
	}
	for line := range said {
		t.Errorf("there is no handler for %s", line)
	}
}

// permission is the name of what a route needs, which is one bit but for
// RegistryWrite, that implies RegistryRead.
func permission(p sas.Permission) string {
	switch p {
	case 0:
		return ""
	case sas.RegistryWrite:
		return "RegistryWrite"
	default:
		return p.String()
	}
}

// testErrors looks whether the errors that the document names exist, and
// whether their status is among the answers.
func (c *contract) testErrors(t *testing.T) {
	codes := map[string]hub.Code{}
	for code := range hub.Codes() {
		codes[code.Name()] = code
	}
	for line, op := range c.operations {
		if op.open {
			continue
		}
		for _, name := range op.errors {
			code, known := codes[name]
			if !known {
				t.Errorf("%s: there is no error %s", line, name)
				continue
			}
			status := []byte{byte('0' + code.Status()/100), byte('0' + code.Status()/10%10), byte('0' + code.Status()%10)}
			if !slices.Contains(op.statuses, string(status)) {
				t.Errorf("%s: %s has the status %s, which is not among the answers", line, name, status)
			}
		}
	}
	for _, name := range c.common {
		if _, known := codes[name]; !known {
			t.Errorf("x-common-errors: there is no error %s", name)
		}
	}
}

// testCalls plays testdata/calls.yaml against a running hub. Every operation
// must be called there, and answer by what it is for at least once.
func (c *contract) testCalls(t *testing.T) {
	p := newPlayer(t, c, hubtest.Start(t, hubtest.Options{
		Flags: []string{"--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0"},
	}))
	for _, call := range readCalls(t) {
		p.play(t, call)
	}
	p.document(t)
	for line, op := range c.operations {
		if !p.called[op.name] {
			t.Errorf("testdata/calls.yaml has no call of %s (%s)", op.name, line)
		}
		for _, name := range op.errors {
			if !p.seen[op.name+" "+name] {
				t.Logf("not shown: %s answers %s", op.name, name)
			}
		}
	}
}

// document compares what the hub serves with the file.
func (p *player) document(t *testing.T) {
	t.Helper()
	p.called["getDocument"] = true
	answer := p.ask(t, &exchange{Call: "GET /openapi.yaml", As: "nobody"})
	defer answer.Body.Close()
	if text := readAll(t, answer); answer.StatusCode != http.StatusOK || string(text) != string(p.contract.text) {
		t.Errorf("GET /openapi.yaml: %s, and not the document: %.100q", answer.Status, text)
	}
}
