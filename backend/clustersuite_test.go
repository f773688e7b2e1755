package backend

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/hubgate/hubgate/backend/backendtest"
)

// TestJobsOnReplicas: the store that rests most on reading what was written keeps on
// three replicas what it promises on one server. Each test has a hub of its own in
// the one cluster.
func TestJobsOnReplicas(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.ready()
	var hubs atomic.Int64
	open := func(t *testing.T) *Backbone {
		t.Helper()
		mine := *c
		mine.tb = t
		return mine.join(Config{Replicas: 3, Prefix: "h" + strconv.FormatInt(hubs.Add(1), 10)})
	}
	backendtest.Jobs(t, func(t *testing.T) backendtest.JobStore { t.Helper(); return open(t).Jobs() })
}
