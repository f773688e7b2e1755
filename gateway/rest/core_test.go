package rest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

const hostName = "my.hub.example"

// keyring is the policies of a test.
type keyring map[string]sas.Policy

func (k keyring) Lookup(name string) (sas.Policy, bool) {
	p, ok := k[name]
	return p, ok
}

func newKeyring() keyring {
	k := keyring{}
	for _, p := range sas.DefaultPolicies() {
		k[p.Name] = p
	}
	return k
}

// token signs resource with a policy's primary key.
func (k keyring) token(t *testing.T, policy, resource string) string {
	t.Helper()
	return k.tokenUntil(t, policy, resource, time.Now().Add(time.Hour))
}

func (k keyring) tokenUntil(t *testing.T, policy, resource string, end time.Time) string {
	t.Helper()
	key, err := sas.DecodeKey(k[policy].PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	return sas.Sign(resource, key, end, policy)
}

// echo answers with what its handler has understood.
func echo(_ *Server, c *call) (reply, error) {
	return reply{body: map[string]string{
		"id": c.id.String(), "verb": c.verb, "route": c.route.pattern, "by": c.by, "ifMatch": c.ifMatch(),
	}}, nil
}

// newTestServer serves a few routes of which echo is the handler, and what
// more is given.
func newTestServer(t *testing.T, more ...route) (*Server, *httptest.Server) {
	t.Helper()
	s := &Server{HostName: hostName, Aliases: []string{"old.azure-devices.net"}, Policies: newKeyring(), Registry: &identity.Registry{}, Log: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.InfoLevel)}
	s.Handler()
	all := append([]route{
		{verb: "GET", pattern: "/devices", needs: sas.RegistryRead},
		{verb: "POST", pattern: "/devices/query", needs: sas.ServiceConnect},
		{verb: "GET", pattern: "/devices/{id}", needs: sas.RegistryRead},
		{verb: "PUT", pattern: "/devices/{id}", needs: sas.RegistryWrite},
		{verb: "PUT", pattern: "/devices/{id}/modules/{mid}", needs: sas.RegistryWrite},
		{verb: "PATCH", pattern: "/twins/{id}", needs: sas.ServiceConnect, envelope: envelopeB},
		{verb: "POST", pattern: "/devices/{id}/messages/deviceBound", needs: sas.ServiceConnect},
		{verb: "GET", pattern: "/jobs/v2/query", needs: sas.ServiceConnect},
		{verb: "GET", pattern: "/jobs/v2/{job}", needs: sas.ServiceConnect},
		{verb: "GET", pattern: "/jobs/{job}/{x}", needs: sas.ServiceConnect},
		{verb: "GET", pattern: "/configurations/{configuration}", needs: sas.RegistryRead, also: sas.ServiceConnect},
	}, more...)
	for i := range all {
		all[i].feature = Identities
		if all[i].handle == nil {
			all[i].handle = echo
		}
	}
	s.table = newTable(all)
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return s, web
}

// do sends one request with a token of iothubowner, and reads the answer.
func do(t *testing.T, s *Server, web *httptest.Server, verb, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), verb, web.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", s.Policies.(keyring).token(t, "iothubowner", hostName))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
		if headers[i+1] == "" {
			req.Header.Del(headers[i])
		}
	}
	return answerTo(t, req)
}

func answerTo(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

const version = "?api-version=2021-04-12"

func TestMatch(t *testing.T) {
	s, web := newTestServer(t)
	for name, tc := range map[string]struct{ verb, path, route, id string }{
		"list":                  {"GET", "/devices", "/devices", ""},
		"slash at the end":      {"GET", "/devices/", "/devices", ""},
		"other case":            {"GET", "/Devices/d", "/devices/{id}", "d"},
		"query":                 {"POST", "/devices/query", "/devices/query", ""},
		"query, other case":     {"POST", "/devices/Query/", "/devices/query", ""},
		"a device called query": {"GET", "/devices/query", "/devices/{id}", "query"},
		"put that device":       {"PUT", "/devices/query", "/devices/{id}", "query"},
		"slash of Explorer":     {"POST", "/devices%2Fquery", "/devices/query", ""},
		"module of Explorer":    {"PUT", "/devices%2Fd%2Fmodules%2fm", "/devices/{id}/modules/{mid}", "d/m"},
		"case of an id":         {"GET", "/devices/DeV", "/devices/{id}", "DeV"},
		"percent":               {"GET", "/devices/50%25", "/devices/{id}", "50%"},
		"percent of an escape":  {"GET", "/devices/a%2562", "/devices/{id}", "a%62"},
		"number sign":           {"GET", "/devices/a%23b", "/devices/{id}", "a#b"},
		"question mark":         {"GET", "/devices/a%3Fb", "/devices/{id}", "a?b"},
		"plus is a plus":        {"GET", "/devices/a+b", "/devices/{id}", "a+b"},
		"plus, encoded":         {"GET", "/devices/a%2bb", "/devices/{id}", "a+b"},
		"at":                    {"GET", "/devices/a@b", "/devices/{id}", "a@b"},
		"semicolon":             {"GET", "/devices/a;b=c", "/devices/{id}", "a;b=c"},
		"dots":                  {"GET", "/devices/..", "/devices/{id}", ".."},
		"messages":              {"POST", "/devices/d/messages/devicebound", "/devices/{id}/messages/deviceBound", "d"},
		"most fixed segments":   {"GET", "/jobs/V2/Query", "/jobs/v2/query", ""},
		"some fixed segments":   {"GET", "/jobs/v2/1", "/jobs/v2/{job}", ""},
		"patch":                 {"PATCH", "/twins/d", "/twins/{id}", "d"},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := do(t, s, web, tc.verb, tc.path+version, "")
			var got struct{ Route, ID string }
			if err := json.Unmarshal([]byte(body), &got); err != nil || res.StatusCode != 200 || got.Route != tc.route || got.ID != tc.id {
				t.Errorf("%s %s = %d %s, want route %s and id %s", tc.verb, tc.path, res.StatusCode, body, tc.route, tc.id)
			}
		})
	}
}

func TestJavaPatch(t *testing.T) {
	s, web := newTestServer(t)
	if res, body := do(t, s, web, "POST", "/twins/d"+version, "{}", "X-HTTP-Method-Override", "PATCH"); res.StatusCode != 200 || !strings.Contains(body, `"verb":"PATCH"`) {
		t.Errorf("POST that means PATCH = %d %s", res.StatusCode, body)
	}
	if res, body := do(t, s, web, "POST", "/twins/d"+version, "{}", "X-HTTP-Method-Override", "DELETE"); res.StatusCode != 400 || !strings.Contains(body, "X-HTTP-Method-Override") {
		t.Errorf("POST that means DELETE = %d %s", res.StatusCode, body)
	}
	if res, _ := do(t, s, web, "GET", "/twins/d"+version, "", "X-HTTP-Method-Override", "PATCH"); res.StatusCode != 405 {
		t.Errorf("GET that means PATCH = %d, want 405", res.StatusCode)
	}
}

func TestIfMatch(t *testing.T) {
	s, web := newTestServer(t)
	for header, want := range map[string]string{"": "", `""`: "", "*": "*", `"*"`: "*", "MQ==": "MQ==", `"MQ=="`: "MQ==", ` "MQ==" `: "MQ=="} {
		var headers []string
		if header != "" {
			headers = []string{"If-Match", header}
		}
		_, body := do(t, s, web, "PUT", "/devices/d"+version, "{}", headers...)
		var got struct{ IfMatch string }
		if err := json.Unmarshal([]byte(body), &got); err != nil || got.IfMatch != want {
			t.Errorf("If-Match %q is %s, %v, want %q", header, body, err, want)
		}
	}
}

// TestRefused sends wrong requests and looks at the whole answer.
func TestRefused(t *testing.T) {
	k := newKeyring()
	s, web := newTestServer(t)
	s.Policies = k
	foreign := newKeyring()
	late := k.tokenUntil(t, "iothubowner", hostName, time.Now().Add(-6*time.Minute))
	for name, tc := range map[string]struct {
		verb, path, auth string
		code             hub.Code
		says             string
	}{
		"unknown path":      {"GET", "/nothing" + version, "", hub.NotFound, "docs/http-api.md"},
		"too long":          {"GET", "/devices/d/x/y/z" + version, "", hub.NotFound, ""},
		"no id":             {"GET", "/devices//" + version, "", hub.NotFound, ""},
		"wrong verb":        {"DELETE", "/devices" + version, "", hub.MethodNotAllowed, "this path takes GET"},
		"no version":        {"GET", "/devices", "", hub.InvalidProtocol, "no api-version"},
		"unknown version":   {"GET", "/devices?api-version=1999-01-01", "", hub.InvalidProtocol, `"1999-01-01"`},
		"no token":          {"GET", "/devices" + version, "-", hub.AccessDenied, "Unauthorized"},
		"basic":             {"GET", "/devices" + version, "Basic YTpi", hub.AccessDenied, "Unauthorized"},
		"bearer":            {"GET", "/devices" + version, "Bearer x", hub.AccessDenied, "Unauthorized"},
		"garbage":           {"GET", "/devices" + version, "SharedAccessSignature sr=x", hub.AccessDenied, "Unauthorized"},
		"another hub's key": {"GET", "/devices" + version, foreign.token(t, "iothubowner", hostName), hub.AccessDenied, "Unauthorized"},
		"unknown policy":    {"GET", "/devices" + version, sas.Sign(hostName, []byte("k"), time.Now().Add(time.Hour), "nobody"), hub.AccessDenied, "Unauthorized"},
		"no policy":         {"GET", "/devices" + version, sas.Sign(hostName, nil, time.Now().Add(time.Hour), ""), hub.AccessDenied, "Unauthorized"},
		"expired":           {"GET", "/devices" + version, late, hub.AccessDenied, "Unauthorized"},
		"another host":      {"GET", "/devices" + version, k.token(t, "iothubowner", "other.example"), hub.AccessDenied, "Unauthorized"},
		"another device":    {"GET", "/devices/d1" + version, k.token(t, "iothubowner", hostName+"/devices/d"), hub.AccessDenied, "Unauthorized"},
		"only its prefix":   {"GET", "/devices" + version, k.token(t, "iothubowner", hostName+"/devices/d"), hub.AccessDenied, "Unauthorized"},
		"another case":      {"GET", "/devices/D" + version, k.token(t, "iothubowner", hostName+"/devices/d"), hub.AccessDenied, "Unauthorized"},
		"no right":          {"PUT", "/devices/d" + version, k.token(t, "registryRead", hostName), hub.AccessDenied, "RegistryWrite"},
		"no right to twins": {"PATCH", "/twins/d" + version, k.token(t, "registryReadWrite", hostName), hub.AccessDenied, "ServiceConnect"},
	} {
		t.Run(name, func(t *testing.T) {
			auth := tc.auth
			switch auth {
			case "":
				auth = k.token(t, "iothubowner", hostName)
			case "-":
				auth = ""
			}
			res, body := do(t, s, web, tc.verb, tc.path, "", "Authorization", auth)
			checkRefusal(t, res, body, tc.code, tc.says)
		})
	}
}

func TestLetIn(t *testing.T) {
	k := newKeyring()
	s, web := newTestServer(t)
	s.Policies = k
	second, _ := sas.DecodeKey(k["service"].SecondaryKey)
	for name, tc := range map[string]struct{ verb, path, auth string }{
		"upper case":         {"GET", "/devices", k.token(t, "iothubowner", strings.ToUpper(hostName))},
		"alias":              {"GET", "/devices", k.token(t, "iothubowner", "old.azure-devices.net")},
		"port":               {"GET", "/devices", k.token(t, "iothubowner", hostName+":8443")},
		"slash behind":       {"GET", "/devices", k.token(t, "iothubowner", hostName+"/")},
		"its own path":       {"GET", "/devices/d", k.token(t, "iothubowner", hostName+"/devices/d")},
		"a module below":     {"PUT", "/devices/d/modules/m", k.token(t, "iothubowner", hostName+"/devices/d")},
		"an odd id":          {"GET", "/devices/a%25b%23", k.token(t, "iothubowner", hostName+"/devices/a%b#")},
		"read only":          {"GET", "/devices", k.token(t, "registryRead", hostName)},
		"secondary key":      {"POST", "/devices/query", sas.Sign(hostName, second, time.Now().Add(time.Hour), "service")},
		"within the skew":    {"GET", "/devices", k.tokenUntil(t, "iothubowner", hostName, time.Now().Add(-4*time.Minute))},
		"one of two rights":  {"GET", "/configurations/c", k.token(t, "service", hostName)},
		"the other of these": {"GET", "/configurations/c", k.token(t, "registryRead", hostName)},
	} {
		t.Run(name, func(t *testing.T) {
			if res, body := do(t, s, web, tc.verb, tc.path+version, "", "Authorization", tc.auth); res.StatusCode != 200 {
				t.Errorf("%s %s = %d %s", tc.verb, tc.path, res.StatusCode, body)
			}
		})
	}
}

// checkRefusal holds an error to the form that the reference gives.
func checkRefusal(t *testing.T, res *http.Response, body string, code hub.Code, says string) {
	t.Helper()
	if res.StatusCode != code.Status() || res.Header.Get("iothub-errorcode") != code.Name() {
		t.Fatalf("status %d, iothub-errorcode %q: %s, want %d %s", res.StatusCode, res.Header.Get("iothub-errorcode"), body, code, code.Name())
	}
	if got := res.Header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("Content-Type %q", got)
	}
	if res.ContentLength != int64(len(body)) || res.Header.Get("Vary") != "Origin" || res.Header.Get("Date") == "" {
		t.Errorf("Content-Length %d, Vary %q, Date %q", res.ContentLength, res.Header.Get("Vary"), res.Header.Get("Date"))
	}
	if (code == hub.MethodNotAllowed) != (res.Header.Get("Allow") != "") {
		t.Errorf("Allow %q", res.Header.Get("Allow"))
	}
	id := res.Header.Get("x-ms-request-id")
	hex := strings.ReplaceAll(id, "-", "")
	if len(id) != 36 || len(hex) != 32 {
		t.Errorf("x-ms-request-id %q", id)
	}
	var outer struct{ Message, ExceptionMessage string }
	if err := json.Unmarshal([]byte(body), &outer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if !strings.Contains(body, hex) {
		t.Errorf("%s does not have the tracking id %s", body, hex)
	}
	text, isA := strings.CutPrefix(outer.Message, "ErrorCode:"+code.Name()+";")
	if !isA {
		var inner struct {
			ErrorCode                         hub.Code
			TrackingID, Message, TimestampUTC string
		}
		if err := json.Unmarshal([]byte(outer.Message), &inner); err != nil || inner.ErrorCode != code || outer.ExceptionMessage != "" {
			t.Fatalf("%s is neither envelope: %v", body, err)
		}
		text = inner.Message
	} else if strings.ContainsAny(text, ";") || !strings.HasPrefix(outer.ExceptionMessage, "Tracking ID:"+hex) {
		t.Errorf("%s: not in the form of envelope A", body)
	}
	if !strings.Contains(text, says) || text == "" {
		t.Errorf("%q does not say %q", text, says)
	}
}

// TestBodies sends bodies that a handler with a limit of 100 bytes decodes.
func TestBodies(t *testing.T) {
	handler := func(_ *Server, c *call) (reply, error) {
		var v struct {
			Name string
			In   any
		}
		if err := c.decode(100, &v); err != nil {
			return reply{}, err
		}
		return reply{body: v.Name}, nil
	}
	s, web := newTestServer(t, route{verb: "POST", pattern: "/decode", needs: sas.ServiceConnect, handle: handler})
	for name, tc := range map[string]struct {
		body, header string
		code         hub.Code
		says         string
	}{
		"good":           {`{"name":"x","unknown":[1]}`, "", 0, `"x"`},
		"any case":       {`{"NAME":"x"}`, "", 0, `"x"`},
		"utf-8":          {`{"name":"x"}`, "utf-8", 0, `"x"`},
		"angle brackets": {`{"name":"<&>"}`, "", 0, `"<&>"`},
		"none":           {"", "", hub.ArgumentNull, "no body"},
		"blanks":         {" \n", "", hub.ArgumentNull, "no body"},
		"too long":       {`{"name":"` + strings.Repeat("x", 100) + `"}`, "", hub.MessageTooLarge, "100 bytes"},
		"compressed":     {"x", "gzip", hub.WrongMediaType, "gzip"},
		"no JSON":        {`{"name":s3cret}`, "", hub.ArgumentInvalid, "byte 8"},
		"cut":            {`{"name":"s3cret`, "", hub.ArgumentInvalid, "not JSON"},
		"twice":          {`{"name":"x","name":"y"}`, "", hub.ArgumentInvalid, "twice"},
		"twice, deep":    {`{"in":{"a":1,"a":2}}`, "", hub.ArgumentInvalid, `"/in/a" twice`},
		"twice, by case": {`{"name":"x","Name":"y"}`, "", hub.ArgumentInvalid, "same name twice"},
		"too deep":       {`{"in":` + strings.Repeat("[", 64) + strings.Repeat("]", 29), "", hub.ArgumentInvalid, "levels deep"},
		"behind it":      {`{"name":"x"}{}`, "", hub.ArgumentInvalid, "follows"},
		"another type":   {`{"name":7}`, "", hub.ArgumentInvalid, `a number at "/name"`},
		"bad UTF-8":      {"{\"name\":\"\xff\"}", "", hub.ArgumentInvalid, "not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if tc.header != "" {
				headers = []string{"Content-Encoding", tc.header}
			}
			res, body := do(t, s, web, "POST", "/decode"+version, tc.body, headers...)
			if strings.Contains(body, "s3cret") {
				t.Errorf("%s shows what was sent", body)
			}
			if tc.code == 0 {
				if res.StatusCode != 200 || body != tc.says {
					t.Errorf("%d %s, want %s", res.StatusCode, body, tc.says)
				}
				return
			}
			checkRefusal(t, res, body, tc.code, tc.says)
		})
	}
}

// A body in chunks has no length that could be looked at first.
func TestChunkedBody(t *testing.T) {
	s, web := newTestServer(t, route{verb: "POST", pattern: "/decode", needs: sas.ServiceConnect, handle: func(_ *Server, c *call) (reply, error) {
		_, err := c.body(100)
		return reply{}, err
	}})
	req, _ := http.NewRequestWithContext(t.Context(), "POST", web.URL+"/decode"+version, io.MultiReader(bytes.NewReader(make([]byte, 101))))
	req.Header.Set("Authorization", s.Policies.(keyring).token(t, "service", hostName))
	res, body := answerTo(t, req)
	checkRefusal(t, res, body, hub.MessageTooLarge, "100 bytes")
}

// A fault in a handler is the fault of one request.
func TestPanic(t *testing.T) {
	j := &journal{more: make(chan struct{}, 10)}
	s, web := newTestServer(t, route{verb: "GET", pattern: "/panic", needs: sas.ServiceConnect, handle: func(*Server, *call) (reply, error) {
		panic("boo")
	}})
	s.Log = zerolog.New(j)
	res, body := do(t, s, web, "GET", "/panic"+version, "")
	checkRefusal(t, res, body, hub.ServerError, "a fault")
	if strings.Contains(body, "boo") {
		t.Errorf("the caller is told %s", body)
	}
	if res, body := do(t, s, web, "GET", "/devices"+version, ""); res.StatusCode != 200 {
		t.Errorf("the next request: %d %s", res.StatusCode, body)
	}
	j.await(t, 3)
	if text := j.text.String(); !strings.Contains(text, `"panic":"boo"`) || strings.Contains(text, "sig=") {
		t.Errorf("logged is %s", text)
	}
}

// What can't be JSON is a fault too.
func TestAnswerThatIsNoJSON(t *testing.T) {
	s, web := newTestServer(t, route{verb: "GET", pattern: "/odd", needs: sas.ServiceConnect, handle: func(*Server, *call) (reply, error) {
		return reply{body: func() {}}, nil
	}})
	res, body := do(t, s, web, "GET", "/odd"+version, "")
	checkRefusal(t, res, body, hub.ServerError, "")
}

func TestNoContent(t *testing.T) {
	s, web := newTestServer(t, route{verb: "DELETE", pattern: "/x", needs: sas.ServiceConnect, handle: func(*Server, *call) (reply, error) { return reply{}, nil }})
	res, body := do(t, s, web, "DELETE", "/x"+version, "")
	if res.StatusCode != 204 || body != "" || res.Header.Get("Content-Type") != "" || res.Header.Get("x-ms-request-id") == "" {
		t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
	}
}

// Only so many requests are worked on; the next one hears so at once.
func TestBusy(t *testing.T) {
	inside, leave := make(chan bool, 2), make(chan bool)
	s := &Server{HostName: hostName, Policies: newKeyring(), Registry: &identity.Registry{}, MaxRequests: 1, Log: zerolog.Nop()}
	s.Handler()
	s.table = newTable([]route{{verb: "GET", pattern: "/wait", needs: sas.ServiceConnect, feature: Identities, handle: func(*Server, *call) (reply, error) {
		inside <- true
		<-leave
		return reply{}, nil
	}}})
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	done := make(chan int)
	go func() {
		res, _ := do(t, s, web, "GET", "/wait"+version, "")
		done <- res.StatusCode
	}()
	<-inside
	res, body := do(t, s, web, "GET", "/wait"+version, "")
	checkRefusal(t, res, body, hub.Throttled, "takes no more")
	close(leave)
	if status := <-done; status != 204 {
		t.Errorf("the first one got %d", status)
	}
	if res, _ := do(t, s, web, "GET", "/wait"+version, ""); res.StatusCode != 204 {
		t.Errorf("the one behind got %d", res.StatusCode)
	}
}

// offenders counts what the server tells.
type offenders struct {
	refuse  bool
	failed  []string
	welcome []string
}

func (o *offenders) Refuses(string, string) bool { return o.refuse }
func (o *offenders) Failed(_, client string, err error) {
	o.failed = append(o.failed, client+": "+err.Error())
}
func (o *offenders) Welcome(_, client string) { o.welcome = append(o.welcome, client) }

func TestPeers(t *testing.T) {
	s, web := newTestServer(t)
	o := &offenders{}
	s.Peers = o
	do(t, s, web, "GET", "/devices"+version, "")
	do(t, s, web, "GET", "/devices"+version, "", "Authorization", "")
	do(t, s, web, "GET", "/devices"+version, "", "Authorization", newKeyring().token(t, "service", hostName))
	do(t, s, web, "PUT", "/devices/d"+version, "", "Authorization", s.Policies.(keyring).token(t, "registryRead", hostName)) // is nobody's fault
	if len(o.welcome) != 2 || o.welcome[0] != "http policy iothubowner" || len(o.failed) != 2 ||
		!strings.HasPrefix(o.failed[0], "http: ") || !strings.HasPrefix(o.failed[1], "http policy service: ") {
		t.Errorf("told was %q and %q", o.welcome, o.failed)
	}
	o.refuse = true
	res, body := do(t, s, web, "GET", "/devices"+version, "")
	checkRefusal(t, res, body, hub.Throttled, "bad credentials")
}

// A handler may work longer than a body may take, and hears when nobody waits
// for its answer any more.
func TestLongRequest(t *testing.T) {
	ended := make(chan error, 1)
	inside := make(chan bool, 1)
	s, web := newTestServer(t, route{verb: "POST", pattern: "/long", needs: sas.ServiceConnect, handle: func(_ *Server, c *call) (reply, error) {
		if _, err := c.body(100); err != nil {
			return reply{}, err
		}
		inside <- true
		<-c.ctx().Done()
		ended <- c.ctx().Err()
		return reply{}, c.ctx().Err()
	}})
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "POST /long"+version+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nAuthorization: "+s.Policies.(keyring).token(t, "service", hostName)+"\r\n\r\n{}")
	<-inside
	nc.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the handler does not hear that the client is gone")
	}
}

// The time for reading a request does not count for its handler.
func TestHandlerOutlivesReadTimeout(t *testing.T) {
	const readTimeout = 100 * time.Millisecond
	s, web := newTestServer(t, route{verb: "GET", pattern: "/long", needs: sas.ServiceConnect, handle: func(_ *Server, c *call) (reply, error) {
		select {
		case <-c.ctx().Done():
			return reply{}, c.ctx().Err()
		case <-time.After(5 * readTimeout):
			return reply{}, nil
		}
	}})
	slow := httptest.NewUnstartedServer(web.Config.Handler)
	slow.Config.ReadTimeout = readTimeout
	slow.Start()
	defer slow.Close()
	if res, body := do(t, s, slow, "GET", "/long"+version, ""); res.StatusCode != 204 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// Who is refused before his body is read does not keep the connection: the rest
// may never come.
func TestRefusedWithBodyToCome(t *testing.T) {
	_, web := newTestServer(t)
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(nc, "PUT /devices/d"+version+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	br := bufio.NewReader(nc)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	if res.StatusCode != 401 || !res.Close {
		t.Errorf("%d, Connection: close is %v", res.StatusCode, res.Close)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("the connection ends with %v, want EOF", err)
	}
}

// TestRoutes reads the table: each line is complete, and no two are the same.
func TestRoutes(t *testing.T) {
	seen := map[string]bool{}
	for r := range Routes() {
		key := r.Verb + " " + strings.ToLower(r.Pattern)
		if seen[key] || r.Needs == 0 || r.Feature == "" || !strings.HasPrefix(r.Pattern, "/") || strings.HasSuffix(r.Pattern, "/") {
			t.Errorf("the line %+v is not complete, or there twice", r)
		}
		seen[key] = true
	}
	for _, r := range routes() {
		if r.handle == nil {
			t.Errorf("%s %s has no handler", r.verb, r.pattern)
		}
	}
}
