package rest

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// TestScopedTokenEncodedAgain: a token for the path of one device must not open another path, however often
// its resource is encoded again: nothing but a key can make it wider.
func TestScopedTokenEncodedAgain(t *testing.T) {
	w := newWorld(t)
	const version = "?api-version=2021-04-12"
	for _, id := range []string{"mine", "other"} {
		w.must(200, nil, "PUT", "/devices/"+id, `{"deviceId":"`+id+`"}`)
	}
	key, err := sas.DecodeKey(w.api.Policies.(keyring)["iothubowner"].PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	scoped := sas.Sign(sas.Resource(hostName, hub.Identity{Device: "mine"}), key, time.Now().Add(time.Hour), "iothubowner")
	sr := strings.TrimPrefix(strings.Split(scoped, "&")[0], "SharedAccessSignature sr=")
	again := strings.Replace(scoped, "sr="+sr, "sr="+url.QueryEscape(sr), 1)
	for _, c := range []struct {
		token, path string
		status      int
	}{
		{scoped, "/devices/mine", 200},
		{scoped, "/devices/other", 401},
		{scoped, "/devices", 401},
		{again, "/devices/mine", 200},
		{again, "/devices/other", 401},
		{again, "/devices", 401},
	} {
		res, body := do(t, w.api, w.web, "GET", c.path+version, "", "Authorization", c.token)
		if res.StatusCode != c.status {
			t.Errorf("GET %s with %q: %d, want %d: %.300s", c.path, strings.Split(c.token, "&")[0], res.StatusCode, c.status, body)
		}
	}
}
