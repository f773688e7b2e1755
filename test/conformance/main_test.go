package conformance

import (
	"flag"
	"os"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

// patience bounds every wait for something that ought to happen soon.
const patience = hubtest.Patience

var update = flag.Bool("update", false, "rewrite the wire transcripts in testdata")

func TestMain(m *testing.M) { os.Exit(hubtest.Main(m)) }

// skip says loudly that t cannot run here; with HUBGATE_REQUIRE_SDK=1 it fails.
func skip(t *testing.T, reason string) {
	t.Helper()
	hubtest.Skip(t, reason)
}

// require skips t unless every program is on the path.
func require(t *testing.T, programs ...string) {
	t.Helper()
	hubtest.Require(t, programs...)
}
