package attack

import (
	"os"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

func TestMain(m *testing.M) { os.Exit(hubtest.Main(m)) }
