package main

import (
	"strings"
	"testing"
	"time"
)

// TestCommandsOfABackend: with the credentials of back-end apps, the command
// line does what they may, and says at once what they may not.
func TestCommandsOfABackend(t *testing.T) {
	t.Parallel()
	p := startDev(t, t.TempDir())
	env := []string{"HUBGATE_NATS=" + p.ready.NATSURL, "HUBGATE_CREDS=" + p.ready.BackendCreds}
	for _, line := range []string{
		"device list", "device show dev1", "twin get dev1", `twin update dev1 --desired {"a":1}`, "twin history dev1", "c2d send dev1 hello",
		"c2d peek dev1", "c2d purge dev1", "c2d dead-letters", "why dev1", "method pending",
	} {
		if r := hubgate(t, env, strings.Fields(line)...); r.code != exitOK {
			t.Errorf("hubgate %s: exit code %d: %s", line, r.code, r.err)
		}
	}
	began := time.Now()
	for _, line := range []string{
		"device keys dev1", "device connection-string dev1", "device create other", "device delete dev1", "device disable dev1", "sas --device dev1", "sas --policy iothubowner", "cluster status",
	} {
		r := hubgate(t, env, strings.Fields(line)...)
		if r.code != exitUnauthorized {
			t.Errorf("hubgate %s: exit code %d", line, r.code)
		}
		wantAll(t, r.err, "the NATS user may not ask on ", "operator's")
		if r.out != "" {
			t.Errorf("hubgate %s prints %s", line, r.out)
		}
	}
	if took := time.Since(began); took > patience { // the requests would run out of time in a minute and a half
		t.Errorf("the refusals took %v", took)
	}
}
