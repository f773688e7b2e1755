package backend

import (
	"fmt"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// BenchmarkWhy reads the timeline of a device that has a full one, beside so
// many devices with one entry each. 1,000,000 take a gigabyte of disk.
func BenchmarkWhy(b *testing.B) {
	for _, devices := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("devices=%d", devices), func(b *testing.B) {
			back := open(b, serve(b, "", 0), Config{Timeline: Limits{MaxBytes: 4 << 30}})
			entry := timeline.Entry{What: timeline.Closed, Code: hub.ConnectionLost, Message: "the client closed the connection without DISCONNECT", Remote: "192.0.2.7:50000", Node: "a", Count: 1, Time: time.Now()}
			for i := range devices {
				entry.ID.Device = fmt.Sprintf("device-%07d", i)
				back.timeline.Append(entry)
				if i%10_000 == 0 { // as fast as the stream takes them
					settleTimeline(b, back)
				}
			}
			entry.ID.Device = "full"
			for i := range timelineDepth {
				entry.Message = fmt.Sprint(i)
				back.timeline.Append(entry)
			}
			settleTimeline(b, back)
			b.ResetTimer()
			for b.Loop() {
				got, err := back.timeline.OfDevice(b.Context(), "full")
				if err != nil || len(got) != timelineDepth {
					b.Fatalf("%d entries, %v", len(got), err)
				}
			}
		})
	}
}

func settleTimeline(b *testing.B, back *Backbone) {
	b.Helper()
	if _, err := back.js.Publish(b.Context(), back.names.Timeline("last"), nil); err != nil {
		b.Fatal(err)
	}
}
