package faults

import (
	"os"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(natsChild); dir != "" {
		os.Exit(serveNATS(dir))
	}
	os.Exit(hubtest.Main(m))
}
