package rest

import (
	"iter"
	"time"

	"github.com/hubgate/hubgate/sas"
)

// route is one operation. Its handler runs when the caller may do it.
type route struct {
	verb    string
	pattern string         // segments; those in braces are parameters
	needs   sas.Permission // what the caller has to have
	feature Feature
	handle  func(*Server, *call) (reply, error)

	also     sas.Permission // suffices in place of needs; 0: nothing does
	envelope envelope       // of errors
	time     time.Duration  // how long it may take; 0: defaultTime
}

// Feature is a part of the API that a hub has or has not.
type Feature string

// The features.
const (
	Identities     Feature = "identities"
	Statistics     Feature = "statistics"
	Twins          Feature = "twins"
	Methods        Feature = "direct methods"
	Messages       Feature = "cloud-to-device messages"
	Outcomes       Feature = "feedback of cloud-to-device messages"
	Queries        Feature = "queries"
	Jobs           Feature = "jobs"
	Configurations Feature = "configurations"
	DigitalTwins   Feature = "digital twins"
	Blobs          Feature = "import and export"
)

// has reports whether the hub offers a feature.
//
//nolint:cyclop // a table: one case per feature
func (s *Server) has(f Feature) bool {
	switch f {
	case Identities, Blobs:
		return s.Registry != nil
	case Statistics:
		return s.Presence != nil
	case Twins, DigitalTwins:
		return s.Twins != nil && s.Fleet != nil
	case Methods:
		return s.Methods != nil
	case Messages:
		return s.Messages != nil && s.Registry != nil
	case Outcomes:
		return s.Feedback != nil
	case Queries:
		return s.Fleet != nil
	case Jobs:
		return s.Jobs != nil
	case Configurations:
		return s.Configurations != nil
	default:
		return false
	}
}

// routes is the API. A line's fields are those of route, in its order.
func routes() []route {
	const (
		read, write = sas.RegistryRead, sas.RegistryWrite
		service     = sas.ServiceConnect
	)
	return []route{
		// Identities.
		{verb: "GET", pattern: "/devices", needs: read, feature: Identities, handle: (*Server).listDevices},
		{verb: "POST", pattern: "/devices", needs: write, feature: Identities, handle: (*Server).bulk, time: bulkTime},
		{verb: "GET", pattern: "/devices/{id}", needs: read, feature: Identities, handle: (*Server).getIdentity},
		{verb: "PUT", pattern: "/devices/{id}", needs: write, feature: Identities, handle: (*Server).putIdentity},
		{verb: "DELETE", pattern: "/devices/{id}", needs: write, feature: Identities, handle: (*Server).deleteIdentity},
		{verb: "GET", pattern: "/devices/{id}/modules", needs: read, feature: Identities, handle: (*Server).listModules},
		{verb: "GET", pattern: "/devices/{id}/modules/{mid}", needs: read, feature: Identities, handle: (*Server).getIdentity},
		{verb: "PUT", pattern: "/devices/{id}/modules/{mid}", needs: write, feature: Identities, handle: (*Server).putIdentity},
		{verb: "DELETE", pattern: "/devices/{id}/modules/{mid}", needs: write, feature: Identities, handle: (*Server).deleteIdentity},
		{verb: "POST", pattern: "/devices/keys/regenerate", needs: write, feature: Identities, handle: (*Server).regenerateKeys},

		// Statistics.
		{verb: "GET", pattern: "/statistics/devices", needs: read, feature: Statistics, handle: (*Server).countDevices},
		{verb: "GET", pattern: "/statistics/service", needs: read, feature: Statistics, handle: (*Server).countConnected},

		// Configurations.
		{verb: "GET", pattern: "/configurations", needs: read, feature: Configurations, handle: (*Server).listConfigurations, also: service},
		{verb: "GET", pattern: "/configurations/{configuration}", needs: read, feature: Configurations, handle: (*Server).getConfiguration, also: service},
		{verb: "PUT", pattern: "/configurations/{configuration}", needs: write, feature: Configurations, handle: (*Server).putConfiguration, also: service},
		{verb: "DELETE", pattern: "/configurations/{configuration}", needs: write, feature: Configurations, handle: (*Server).deleteConfiguration, also: service},
		{verb: "POST", pattern: "/configurations/testQueries", needs: read, feature: Configurations, handle: (*Server).testQueries, also: service},
		{verb: "POST", pattern: "/devices/{id}/applyConfigurationContent", needs: write, feature: Configurations, handle: (*Server).applyConfiguration, also: service},

		// Import and export.
		{verb: "POST", pattern: "/jobs/create", needs: write, feature: Blobs, handle: (*Server).createBlobJob},
		{verb: "GET", pattern: "/jobs", needs: read, feature: Blobs, handle: (*Server).listBlobJobs},
		{verb: "GET", pattern: "/jobs/{job}", needs: read, feature: Blobs, handle: (*Server).noBlobJob},
		{verb: "DELETE", pattern: "/jobs/{job}", needs: write, feature: Blobs, handle: (*Server).noBlobJob},

		// Twins.
		{verb: "GET", pattern: "/twins/{id}", needs: service, feature: Twins, handle: (*Server).getTwin, envelope: envelopeTwin},
		{verb: "PATCH", pattern: "/twins/{id}", needs: service, feature: Twins, handle: (*Server).patchTwin, envelope: envelopeTwin},
		{verb: "PUT", pattern: "/twins/{id}", needs: service, feature: Twins, handle: (*Server).putTwin, envelope: envelopeTwin},
		{verb: "GET", pattern: "/twins/{id}/modules/{mid}", needs: service, feature: Twins, handle: (*Server).getTwin, envelope: envelopeTwin},
		{verb: "PATCH", pattern: "/twins/{id}/modules/{mid}", needs: service, feature: Twins, handle: (*Server).patchTwin, envelope: envelopeTwin},
		{verb: "PUT", pattern: "/twins/{id}/modules/{mid}", needs: service, feature: Twins, handle: (*Server).putTwin, envelope: envelopeTwin},

		// Direct methods.
		{verb: "POST", pattern: "/twins/{id}/methods", needs: service, feature: Methods, handle: (*Server).invokeMethod, envelope: envelopeB, time: methodTime},
		{verb: "POST", pattern: "/twins/{id}/modules/{mid}/methods", needs: service, feature: Methods, handle: (*Server).invokeMethod, envelope: envelopeB, time: methodTime},

		// Scheduled jobs.
		{verb: "GET", pattern: "/jobs/v2/query", needs: service, feature: Jobs, handle: (*Server).listJobs},
		{verb: "PUT", pattern: "/jobs/v2/{job}", needs: service, feature: Jobs, handle: (*Server).putJob},
		{verb: "GET", pattern: "/jobs/v2/{job}", needs: service, feature: Jobs, handle: (*Server).getJob},
		{verb: "POST", pattern: "/jobs/v2/{job}/cancel", needs: service, feature: Jobs, handle: (*Server).cancelJob},

		// Queries.
		{verb: "POST", pattern: "/devices/query", needs: service, feature: Queries, handle: (*Server).runQuery},

		// Cloud-to-device messages and what became of them.
		{verb: "POST", pattern: "/devices/{id}/messages/deviceBound", needs: service, feature: Messages, handle: (*Server).sendMessage},
		{verb: "DELETE", pattern: "/devices/{id}/commands", needs: service, feature: Messages, handle: (*Server).purgeMessages},
		{verb: "GET", pattern: "/messages/serviceBound/feedback", needs: service, feature: Outcomes, handle: (*Server).takeFeedback},
		{verb: "DELETE", pattern: "/messages/serviceBound/feedback/{token}", needs: service, feature: Outcomes, handle: (*Server).completeFeedback},
		{verb: "POST", pattern: "/messages/serviceBound/feedback/{token}/abandon", needs: service, feature: Outcomes, handle: (*Server).abandonFeedback},

		// Digital twins.
		{verb: "GET", pattern: "/digitaltwins/{id}", needs: service, feature: DigitalTwins, handle: (*Server).getDigitalTwin, envelope: envelopeTwin},
		{verb: "PATCH", pattern: "/digitaltwins/{id}", needs: service, feature: DigitalTwins, handle: (*Server).patchDigitalTwin, envelope: envelopeTwin},
		{verb: "POST", pattern: "/digitaltwins/{id}/commands/{command}", needs: service, feature: Methods, handle: (*Server).invokeCommand, envelope: envelopeB, time: methodTime},
		{verb: "POST", pattern: "/digitaltwins/{id}/components/{component}/commands/{command}", needs: service, feature: Methods, handle: (*Server).invokeCommand, envelope: envelopeB, time: methodTime},
	}
}

// Route is one operation, for documents and their tests.
type Route struct {
	Verb    string
	Pattern string         // as /devices/{id}; fixed parts are matched in any case
	Needs   sas.Permission // what the caller has to have
	Also    sas.Permission // suffices in its place; 0: nothing does
	Feature Feature
}

// Routes lists the API in the order of its table.
func Routes() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		for _, r := range routes() {
			if !yield(Route{r.verb, r.pattern, r.needs, r.also, r.feature}) {
				return
			}
		}
	}
}
