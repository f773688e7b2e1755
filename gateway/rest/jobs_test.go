package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

// onlyDevice is a fleet of one device, all of whose twins can be written.
type onlyDevice struct{}

func (onlyDevice) Each(_ context.Context, _ string, visit func(hub.Identity) bool) error {
	visit(hub.Identity{Device: "d"})
	return nil
}

func (onlyDevice) UpdateTwin(context.Context, hub.Identity, jobs.Write) error { return nil }

func (onlyDevice) InvokeMethod(context.Context, hub.Identity, jobs.Method) (int, []byte, error) {
	return 200, nil, nil
}

func (onlyDevice) Check(*jobs.Job) error { return nil }

// serveJobs serves jobs that are kept in NATS and done by one runner.
func serveJobs(t *testing.T) (*Server, *httptest.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	n, err := embedded.Start(ctx, embedded.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Shutdown() })
	b, err := backend.Connect(ctx, backend.Config{URL: n.URL(), CredsFile: n.GatewayCreds()}, n.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(ctx) })
	all := &jobs.Jobs{Store: b.Jobs()}
	r := &jobs.Runner{Jobs: all, Node: "n", Rows: b.Jobs(), Targets: onlyDevice{}, Actions: onlyDevice{}}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the runner ends: %v", err)
		}
	})
	s := &Server{HostName: hostName, Policies: newKeyring(), Jobs: all}
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return s, web
}

const (
	twinJob    = `{"jobId":"%s","type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":"<1>"}},"queryCondition":"*","startTime":"%s","maxExecutionTimeInSeconds":60}`
	statistics = `"deviceJobStatistics":{"deviceCount":%d,"failedCount":0,"succeededCount":%[1]d,"runningCount":0,"pendingCount":0}`
)

func TestJobs(t *testing.T) {
	t.Parallel()
	s, web := serveJobs(t)
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	const twin = `"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":"<1>"}},`
	const head = `"queryCondition":"*","createdTime":"T","startTime":"T",`
	none := fmt.Sprintf(statistics, 0)
	for _, c := range []struct {
		verb, path, body string
		status           int
		want             string // of the answer, with each time as T
	}{
		{"PUT", "later", fmt.Sprintf(twinJob, "later", later), 200, `{"jobId":"later",` + head + `"maxExecutionTimeInSeconds":60,` + twin + `"status":"scheduled",` + none + `}`},
		{"PUT", "later", fmt.Sprintf(twinJob, "later", later), 409, "ErrorCode:JobAlreadyExists;"},
		{"GET", "later", "", 200, `{"jobId":"later",` + head + `"maxExecutionTimeInSeconds":60,` + twin + `"status":"scheduled",` + none + `}`},
		{"POST", "later/cancel", "", 200, `{"jobId":"later","queryCondition":"*","createdTime":"T","startTime":"T","endTime":"T","maxExecutionTimeInSeconds":60,` + twin + `"status":"cancelled",` + none + `}`},
		{"POST", "later/cancel", "", 405, "ErrorCode:OperationNotAllowedInCurrentState;"},
		{"GET", "unknown", "", 200, `{"type":"unknown","status":"unknown"}`},
		{"GET", "Not%20an%20id", "", 200, `{"type":"unknown","status":"unknown"}`},
		{"POST", "unknown/cancel", "", 404, "ErrorCode:JobNotFound;"},
		{"PUT", "UPPER", fmt.Sprintf(twinJob, "UPPER", later), 400, "ErrorCode:ArgumentInvalid;"},
		{"PUT", "x", "", 400, "ErrorCode:ArgumentNull;"},
		{"PUT", "x", "{", 400, "ErrorCode:ArgumentInvalid;"},
		{"PUT", "x", `{"type":"scheduleUpdateTwin","updateTwin":{"tags":{}}}`, 412, "ErrorCode:PreconditionFailed;"},
		{"PUT", "x", `{"type":"scheduleUpdateTwin","type":"scheduleUpdateTwin"}`, 400, "ErrorCode:ArgumentInvalid;"},
		{"DELETE", "later", "", 405, "ErrorCode:GenericMethodNotAllowed;"},
		{"GET", "query" + version + "&jobStatus=nonsense", "", 400, "ErrorCode:ArgumentInvalid;"},
	} {
		path := "/jobs/v2/" + c.path
		if !strings.Contains(path, "?") {
			path += version
		}
		res, text := do(t, s, web, c.verb, path, c.body)
		text = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`).ReplaceAllString(text, "T")
		if res.StatusCode != c.status || c.status == http.StatusOK && text != c.want || !strings.Contains(text, c.want) {
			t.Errorf("%s %s: %d %s\nwant %d %s", c.verb, c.path, res.StatusCode, text, c.status, c.want)
		}
	}
	res, _ := do(t, s, web, "GET", "/jobs/v2/later"+version, "", "Authorization", s.Policies.(keyring).token(t, "registryReadWrite", hostName))
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the registry's policy sees jobs: %d", res.StatusCode)
	}
}

// All jobs come in pages, the last of which has no way to go on.
func TestJobPages(t *testing.T) {
	t.Parallel()
	s, web := serveJobs(t)
	for i := range 5 {
		id := fmt.Sprintf("j%d", i)
		if res, text := do(t, s, web, "PUT", "/jobs/v2/"+id+version, fmt.Sprintf(twinJob, id, "2020-01-01T00:00:00Z")); res.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
		waitFor(t, "the job", func() bool {
			_, text := do(t, s, web, "GET", "/jobs/v2/"+id+version, "")
			return strings.Contains(text, `"status":"completed",`+fmt.Sprintf(statistics, 1))
		})
	}
	var got []string
	for token, pages := "", 0; ; pages++ {
		res, text := do(t, s, web, "GET", "/jobs/v2/query"+version+"&jobType=ScheduleUpdateTwin&jobStatus=COMPLETED", "", "x-ms-max-item-count", "2", "x-ms-continuation", token)
		var page []jobs.Response
		if err := json.Unmarshal([]byte(text), &page); err != nil || res.Header.Get("x-ms-item-type") != "JobResponse" {
			t.Fatalf("%s: %v, of type %q", text, err, res.Header.Get("x-ms-item-type"))
		}
		for _, j := range page {
			got = append(got, j.ID)
		}
		if token = res.Header.Get("x-ms-continuation"); token == "" {
			if _, there := res.Header["X-Ms-Continuation"]; there || pages != 2 {
				t.Errorf("%d pages, with an empty header %v", pages+1, there)
			}
			break
		}
	}
	if want := "j0 j1 j2 j3 j4"; strings.Join(got, " ") != want {
		t.Errorf("listed %q, want %q", got, want)
	}
	if res, text := do(t, s, web, "GET", "/jobs/v2/query"+version+"&jobStatus=running", ""); text != "[]" || res.Header.Get("x-ms-item-type") != "JobResponse" {
		t.Errorf("an empty list is %s of type %q", text, res.Header.Get("x-ms-item-type"))
	}
	for _, token := range []string{"!", "Zm9yZ2Vk"} {
		if res, _ := do(t, s, web, "GET", "/jobs/v2/query"+version, "", "x-ms-continuation", token); res.StatusCode != http.StatusBadRequest {
			t.Errorf("with the token %q: %d", token, res.StatusCode)
		}
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}
