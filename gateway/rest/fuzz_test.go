package rest

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

// FuzzPath looks an identity up by its path, in the ways in which clients write
// it: it is found as it is, whatever is in the ids.
func FuzzPath(f *testing.F) {
	f.Add("d", "m")
	f.Add("50%", "a%2Fb")
	f.Add("a+b", "$edgeHub")
	f.Add("query", "modules")
	f.Add("..", ".")
	f.Add("a#b?c;d", "@")
	t := newTable(routes())
	f.Fuzz(func(tt *testing.T, device, module string) {
		if !hub.ValidID(device) || !hub.ValidID(module) {
			_, _, err := t.match("GET", segmentsOf("/devices/"+device+"/"+module)) // what anybody may send
			if err != nil && hub.CodeOf(err) != hub.NotFound && hub.CodeOf(err) != hub.MethodNotAllowed {
				tt.Error(err)
			}
			return
		}
		want := hub.Identity{Device: device, Module: module}
		whole := "devices/" + device + "/modules/" + module
		for _, path := range []string{
			"/devices/" + url.PathEscape(device) + "/modules/" + url.PathEscape(module),
			"/DEVICES/" + url.PathEscape(device) + "/Modules/" + url.PathEscape(module) + "/",
			"/" + url.PathEscape(whole),
		} {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + path + "?x=1 HTTP/1.1\r\nHost: h\r\n\r\n")))
			if err != nil {
				tt.Fatalf("%s: %v", path, err)
			}
			c := &call{r: r}
			if err := c.find(t); err != nil || c.id != want {
				tt.Errorf("%s is %s, %v, want %s", path, c.id, err, want)
			}
		}
	})
}

// FuzzRequest sends requests to the whole of the API. Whatever comes, the answer
// has the form that SDKs can read, and is no fault of ours.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/devices?api-version=2021-04-12", "SharedAccessSignature sr=h&sig=x&se=1&skn=p", "", "")
	f.Add("PUT", "/devices/d?api-version=2021-04-12", "", `"*"`, `{"deviceId":"d"}`)
	f.Add("POST", "/devices%2Fkeys%2fregenerate?api-version=2024-03-31", "Bearer x.y.z", "", `{"policyKey":"both"}`)
	f.Add("POST", "/twins/d?api-version=2021-04-12", "", "", "{}")
	f.Add("DELETE", "//?", "Basic x", "", "")
	k := newKeyring()
	key, _ := sas.DecodeKey(k["iothubowner"].PrimaryKey)
	s := &Server{HostName: hostName, Policies: k, Registry: &identity.Registry{Store: noStore{}}, Log: zerolog.Nop()}
	h := s.Handler()
	token := sas.Sign(hostName, key, s.now().AddDate(1, 0, 0), "iothubowner")
	f.Fuzz(func(t *testing.T, verb, target, authorization, ifMatch, body string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(verb + " " + target + " HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body)))
		if err != nil {
			return // answered by net/http
		}
		r.Header.Set("If-Match", ifMatch)
		for _, auth := range []string{authorization, token} {
			r.Header.Set("Authorization", auth)
			r.Body = http.NoBody
			if body != "" {
				r.Body = readCloser{strings.NewReader(body)}
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			checkForm(t, w, auth == token)
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func checkForm(t *testing.T, w *httptest.ResponseRecorder, known bool) {
	t.Helper()
	text := w.Body.String()
	if w.Code != http.StatusNoContent && w.Header().Get("Content-Length") != strconv.Itoa(len(text)) {
		t.Errorf("Content-Length %s of %d bytes", w.Header().Get("Content-Length"), len(text))
	}
	if len(text) > 0 && !json.Valid([]byte(text)) {
		t.Errorf("%q is no JSON", text)
	}
	sent := map[string][]string(w.Header()) // whose names have their own spelling
	code, id := sent["iothub-errorcode"], sent["x-ms-request-id"]
	if w.Code >= 400 && len(code) != 1 || len(id) != 1 || len(id[0]) != 36 {
		t.Errorf("%d with the headers %v", w.Code, w.Header())
	}
	if w.Code >= 500 || !known && w.Code < 400 {
		t.Errorf("%d %s", w.Code, text)
	}
}

// FuzzBulk reads bulk requests. Nobody's key gets into an error.
func FuzzBulk(f *testing.F) {
	f.Add([]byte(`[{"id":"a","importMode":"create","tags":{"x":1},"properties":{"desired":{"y":null}}}]`))
	f.Add([]byte(`[{"Id":"a","etag":"x","eTag":"y","authentication":{"symmetricKey":{"primaryKey":"s3cret"}}}]`))
	f.Add([]byte(`[{"id":"a","parentScopes":[null],"capabilities":null,"properties":{"desired":7}}]`))
	f.Add([]byte(`[[[[`))
	f.Add([]byte(`[{"id":"a","i` + strings.Repeat("_", 1200) + `d":"b"}]`))
	f.Add([]byte(`[{"id":"a","i` + strings.Repeat("_", 1200) + `d":7}]`))
	f.Add([]byte(`[{"id":"a","` + strings.Repeat("x", 1200) + `":7,"` + strings.Repeat("x", 1200) + `":8}]`))
	s := &Server{Registry: &identity.Registry{Store: noStore{}}}
	f.Fuzz(func(t *testing.T, body []byte) {
		var items []bulkItem
		if err := decode(body, &items); err != nil {
			if code := hub.CodeOf(err); code != hub.ArgumentInvalid && code != hub.ArgumentNull || len(err.Error()) > 1000 {
				t.Errorf("%v", err)
			}
			return
		}
		if checkItems(items) != nil {
			return
		}
		for i := range items {
			item := &items[i]
			if item.hasTwin() { // Twins are nil: only what is made of it counts
				w := &bulkItem{ID: item.ID, Tags: item.Tags, Properties: item.Properties}
				if _, err := w.write(s, ""); hub.CodeOf(err) != hub.NotSupported {
					t.Error(err)
				}
				item.Tags, item.Properties.Desired = nil, nil
			}
			if strings.HasPrefix(strings.ToLower(item.ImportMode), "updatetwin") {
				continue
			}
			_, err := s.importItem(t.Context(), item, "")
			if code := hub.CodeOf(err); err != nil && code.Status() >= 500 {
				t.Errorf("%v", err)
			}
		}
	})
}
