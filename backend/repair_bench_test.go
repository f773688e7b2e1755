package backend

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// BenchmarkRepair ends the connections of a node that had 100,000 devices: the
// sessions of as many that it did not have are there too.
func BenchmarkRepair(b *testing.B) {
	const devices = 20_000
	s := serve(b, "", 0)
	for range b.N {
		b.StopTimer()
		node := open(b, s, Config{Node: "b"})
		for i := range 2 * devices {
			v := session.Session{
				ID: hub.Identity{Device: fmt.Sprint("dev-", i)}, Generation: "637612875240648717", Persistent: true, Connected: true,
				Node: "b", Instance: "living", Connection: "c", Remote: "192.0.2.1:4711", ClientAgent: "bench", ConnectedTime: time.Now(),
				Subscriptions: []session.Subscription{{Filter: "$iothub/methods/POST/#"}, {Filter: "$iothub/twin/res/#"}},
			}
			if i%2 == 0 {
				v.Node, v.Instance = "a", "dead"
			}
			value, err := json.Marshal(stored{Session: v})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := node.js.PublishAsync(node.sessions.bucket.putSubject(subject.Key(v.ID)), value); err != nil {
				b.Fatal(err)
			}
			if i%1000 == 0 {
				<-node.js.PublishAsyncComplete()
			}
		}
		<-node.js.PublishAsyncComplete()
		b.StartTimer()
		did, err := node.nodes.repair.run(b.Context(), deadNode{"a", []string{"dead"}, time.Now()})
		if err != nil || did.Sessions != devices || did.Events != 2*devices {
			b.Fatalf("%+v, %v", did, err)
		}
		b.ReportMetric(float64(devices)/did.Took.Seconds(), "sessions/s")
		b.ReportMetric(did.Took.Seconds(), "s/repair")
	}
}
