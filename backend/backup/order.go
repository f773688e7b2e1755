package backup

import (
	"cmp"
	"slices"

	"github.com/hubgate/hubgate/backend/subject"
)

// order sorts streams into the order in which they are copied. Devices go on
// meanwhile, so that what is copied later is newer. Each place has its reason:
//
//   - what is known of deliveries comes before the queue, so that it speaks of no
//     message that the queue does not have yet;
//   - the queue comes before the outcomes: a message that is completed meanwhile
//     is in both, and delivered again, rather than in none;
//   - jobs come before their rows: rows that are ahead of their job are counted
//     again, and a job that is ahead of its rows would never look at them;
//   - twins, sessions and what else belongs to a device come before the registry:
//     what is left of a device that is deleted meanwhile has its generation, and
//     fits none that comes after it;
//   - telemetry comes last, for it takes longest.
func order(streams []string, n subject.Names) []string {
	places := map[string]int{}
	for i, name := range []string{
		bucketPrefix + n.C2DBucket(), n.C2DStream(),
		bucketPrefix + n.JobBucket(), bucketPrefix + n.JobRowBucket(), bucketPrefix + n.CommandBucket(),
	} {
		places[name] = i - 100
	}
	for i, name := range []string{
		bucketPrefix + n.DeviceBucket(), bucketPrefix + n.PolicyBucket(), bucketPrefix + n.AuthorityBucket(),
		n.FeedbackStream(), n.DeadLetterStream(), n.TimelineStream(), n.StrangersStream(), n.EventsStream(),
	} {
		places[name] = i + 100
	}
	place := func(name string) int {
		if p, known := places[name]; known {
			return p
		}
		if isBucket(name) {
			return 0
		}
		return 200 // telemetry, in however many streams, and what operators have made
	}
	sorted := slices.Clone(streams)
	slices.SortFunc(sorted, func(a, b string) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
	return sorted
}
