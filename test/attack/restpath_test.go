package attack

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// TestRESTPaths asks for what is not there by paths that some take for something
// else: nothing but IoT Hub's own error comes, and no twin or device is touched.
func TestRESTPaths(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	o := g.operator(t, "iothubowner")
	missing := []hub.Code{hub.NotFound, hub.DeviceNotFound, hub.ModuleNotFound, hub.ArgumentInvalid, hub.MethodNotAllowed}
	for name, path := range map[string]string{
		"up":                        "/devices/../devices/victim",
		"up, encoded":               "/devices/..%2fdevices%2fvictim",
		"up, encoded twice":         "/devices/%252e%252e%252fvictim",
		"up, at the end":            "/devices/victim/..",
		"up, with a backslash":      "/devices/..%5cdevices%5cvictim",
		"here":                      "/./devices/victim",
		"two slashes":               "//devices//victim",
		"two slashes at the end":    "/devices/victim//",
		"a slash behind the id":     "/devices/victim%2f%2f",
		"NUL":                       "/devices/%00",
		"NUL behind the id":         "/devices/victim%00",
		"NUL before a module":       "/devices/victim%00/modules/m",
		"a new line":                "/devices/victim%0d%0aX-Evil:%201",
		"a tab":                     "/devices/victim%09",
		"a space":                   "/devices/victim%20",
		"a plus":                    "/devices/victim+",
		"no UTF-8":                  "/devices/%ff%fe",
		"UTF-8 that is too long":    "/devices/%c0%afvictim",
		"a surrogate":               "/devices/%ed%a0%80",
		"full width":                "/devices/%ef%bd%96ictim",
		"a space that has no width": "/devices/victim%e2%80%8b",
		"upper case":                "/devices/VICTIM",
		"a NATS wildcard":           "/devices/%3e",
		"a NATS wildcard for one":   "/devices/*",
		"a subject":                 "/devices/victim.module",
		"how keys are written":      "/devices/=76ictim",
		"an MQTT wildcard":          "/devices/%23",
		"a parameter":               "/devices/%7bid%7d",
		"a semicolon":               "/devices/victim;x=y",
		"a matrix in front":         "/devices;/victim",
		"nobody":                    "/devices//modules/m",
		"a module of nobody":        "/devices/nobody/modules/m",
		"no module":                 "/devices/victim/modules//",
		"a module's module":         "/devices/victim/modules/m/modules/m",
		"10,000 bytes":              "/devices/" + strings.Repeat("x", 10_000),
		"10,000 encoded bytes":      "/devices/" + strings.Repeat("%41", 6_000),
		"10,000 segments":           strings.Repeat("/x", 10_000),
		"an id of 129 bytes":        "/devices/" + strings.Repeat("x", 129),
		"a twin":                    "/twins/victim%2fmodules%2fm",
		"a twin of nothing":         "/twins/",
		"the root of twins":         "/twins",
		"a socket for devices":      "/$iothub/websocketx",
		"administration":            "/$admin/backup",
	} {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"GET", "DELETE"} {
				text := o.wire(verb+" "+path+version+" HTTP/1.1", "If-Match: *\r\n", "")
				all := dialTLS(t, g, httpsPort).exchange(t, text)
				if len(all) != 1 {
					t.Fatalf("%s: %d answers", verb, len(all))
				}
				all[0].refused(t, missing...)
				all[0].clean(t)
			}
		})
	}
	for name, path := range map[string]string{
		"a bad escape": "/devices/%zz", "half an escape": "/devices/%4", "a control character": "/devices/\x01", "a space": "/devices/a b", "no slash": "devices/victim",
	} {
		t.Run("no request: "+name, func(t *testing.T) {
			all := dialTLS(t, g, httpsPort).exchange(t, o.wire("GET "+path+version+" HTTP/1.1", "", ""))
			if len(all) != 1 || all[0].status != 400 {
				t.Errorf("answered by %+.300v", all)
			}
		})
	}
	n.finish(t)
}

// clean looks for headers that no answer of the API has.
func (a answer) clean(t *testing.T) {
	t.Helper()
	known := "Content-Type Content-Length Date Vary X-Ms-Request-Id Iothub-Errorcode Iothuberrorcode Connection Allow Etag Location Server " +
		"X-Ms-Item-Type X-Ms-Continuation X-Ms-Command-Statuscode"
	for name := range a.header {
		if !strings.Contains(" "+known+" ", " "+name+" ") {
			t.Errorf("%.120q: the answer has the header %s", a.request, name)
		}
	}
}

// TestRESTVersions asks without a version, or in one that there is not.
func TestRESTVersions(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	o := g.operator(t, "iothubowner")
	for name, query := range map[string]string{
		"none": "", "empty": "?api-version=", "unknown": "?api-version=2199-01-01", "no date": "?api-version=latest", "two of them": "?api-version=1&api-version=2021-04-12",
		"long": "?api-version=" + strings.Repeat("2", 5000), "encoded": "?api-version=2021%2d04%2d12%00", "behind a semicolon": "?x;api-version=2021-04-12", "as a header": "?X-Api-Version=2021-04-12",
	} {
		for _, verb := range []string{"GET", "PUT", "DELETE"} {
			t.Run(name+" "+verb, func(t *testing.T) {
				o.do(t, verb, "/devices/victim"+query, `{"deviceId":"victim"}`, "If-Match", "*").refused(t, hub.InvalidProtocol)
			})
		}
	}
	n.finish(t)
}
