package errdoc

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

var update = flag.Bool("update", false, "write docs/errors.md")

const intro = `<!-- Generated from hub/codes.go by make golden. Do not edit. -->

# Error codes

Hubgate uses the six-digit error codes of Azure IoT Hub; their first three
digits are the HTTP status. One table, in package hub, says how each looks in
every protocol, and this page is made from it. You meet a code

- in the log, as the field ` + "`code`" + `,
- in the disconnect events on ` + "`hub.events.connection.…`" + ` (see [nats.md](nats.md)),
- in an answer of a NATS service, as the header ` + "`Nats-Service-Error-Code`" + `,
- in what the command line prints when it fails.

An MQTT 3.1.1 device sees only the CONNACK column: 5 for what trying again
cannot mend, 3 for "come back later". A refused device never sees 2 or 4, nor
1 unless it speaks a version of MQTT that is not spoken here, because some SDKs
then stop for good. After CONNACK, MQTT 3.1.1 has no way to tell a device why
its connection was closed; the log and the event tell you.

The MQTT 5 column is the reason code that an MQTT 5 connection gets.

| code | name | HTTP status | CONNACK 3.1.1 | MQTT 5 | what to do |
|---|---|---|---|---|---|
`

func TestErrorsPage(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "errors.md")
	want := page()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/errors.md is stale, run make golden (-want +got):\n%s", diff)
	}
}

func page() string {
	var b strings.Builder
	b.WriteString(intro)
	for code := range hub.Codes() {
		fmt.Fprintf(&b, "| %d | %s | %d %s | %d | 0x%02X | %s |\n", int(code), code.Name(),
			code.Status(), http.StatusText(code.Status()), code.Connack(), code.Reason(), code.Hint())
	}
	return b.String()
}

// TestCodesAreComplete compares hub.Codes with the constants in the source: a
// code that is missing there would be missing on the page.
func TestCodesAreComplete(t *testing.T) {
	want := constants(t)
	got := slices.Collect(hub.Codes())
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hub.Codes against the constants of errors.go (-want +got):\n%s", diff)
	}
	names := map[string]hub.Code{}
	for _, code := range got {
		if other, taken := names[code.Name()]; taken {
			t.Errorf("%d and %d have one name, %s: one of them has no row", int(other), int(code), code.Name())
		}
		names[code.Name()] = code
	}
}

// constants returns the values of all constants of type Code, sorted.
func constants(t *testing.T) []hub.Code {
	t.Helper()
	tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "hub", "errors.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []hub.Code
	ast.Inspect(tree, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		kind, typed := spec.Type.(*ast.Ident)
		if !typed || kind.Name != "Code" {
			return true
		}
		for _, value := range spec.Values {
			n, err := strconv.Atoi(value.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, hub.Code(n))
		}
		return true
	})
	slices.Sort(codes)
	return codes
}
