package rest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// A client that leaves before its answer is no fault of the node, whatever what it has
// cut off says: neither the log nor the counts have one.
func TestClientThatLeaves(t *testing.T) {
	t.Parallel()
	for name, failed := range map[string]func(context.Context) error{
		"as it is": context.Context.Err,
		"classified": func(ctx context.Context) error {
			return hub.Errorf(hub.ServiceUnavailable, "read the key: %w", ctx.Err())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, leave := context.WithCancel(t.Context())
			wait := func(_ *Server, c *call) (reply, error) {
				leave()
				<-c.ctx().Done()
				return reply{}, failed(c.ctx())
			}
			s, _ := newTestServer(t, route{verb: "GET", pattern: "/slow", needs: sas.RegistryRead, handle: wait})
			j := &journal{more: make(chan struct{}, 10)}
			s.Log = zerolog.New(j)
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/slow"+version, http.NoBody)
			r.Host = hostName
			r.Header.Set("Authorization", s.Policies.(keyring).token(t, "iothubowner", hostName))
			s.Handler().ServeHTTP(httptest.NewRecorder(), r)
			j.await(t, 1)
			if lines := j.lines(t, "debug"); len(lines) != 1 || lines[0]["reason"] != "the client has left before its answer" {
				t.Errorf("the log has %s", j.text.String())
			}
			all := s.Stats()
			if len(all) != 1 || all[0].Status[statusLeft] != 1 || len(all[0].Status) != 1 {
				t.Errorf("counted as %+v", all)
			}
		})
	}
}
