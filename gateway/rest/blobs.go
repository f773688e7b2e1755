package rest

import "github.com/hubgate/hubgate/hub"

// createBlobJob answers POST /jobs/create: export and import go through Azure
// Storage, which is not here.
func (s *Server) createBlobJob(*call) (reply, error) {
	return reply{}, hub.Errorf(hub.BlobsRefused, "this hub has no blob storage: create and update devices in bulk with POST /devices, and list them with a query")
}

// listBlobJobs answers GET /jobs: there are none.
func (s *Server) listBlobJobs(*call) (reply, error) { return reply{body: []byte("[]")}, nil }

// noBlobJob answers GET and DELETE /jobs/{job}.
func (s *Server) noBlobJob(c *call) (reply, error) {
	return reply{}, hub.Errorf(hub.JobNotFound, "there is no import or export job %q", clip(c.params["job"]))
}
