package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

// policy is the connection string of a shared access policy.
func (g *gateway) policy(name string) string {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	kv, err := g.JS.KeyValue(ctx, "hub_policies")
	if err != nil {
		g.t.Fatal(err)
	}
	entry, err := kv.Get(ctx, hubtest.Key(name))
	if err != nil {
		g.t.Fatalf("read policy %s: %v", name, err)
	}
	var p struct {
		PrimaryKey string `json:"primaryKey"`
	}
	if err := json.Unmarshal(entry.Value(), &p); err != nil {
		g.t.Fatal(err)
	}
	return fmt.Sprintf("HostName=%s;SharedAccessKeyName=%s;SharedAccessKey=%s", g.Ready.HostName, name, p.PrimaryKey)
}

// policiesHold uses the SDK with the keys of lesser policies.
func policiesHold(t *testing.T, g *gateway, h *hub) {
	id := deviceName(t)
	h.make(id, nil)
	patch := naming(id).and(args{"patch": desired(fields{"x": 1})})
	create := args{"identity": naming(id + "-new")}
	for policy, may := range map[string]map[string]bool{
		"registryRead":      {"get": true},
		"registryReadWrite": {"get": true, "create": true},
		"service":           {"twin": true, "patchTwin": true, "query": true},
		"device":            {},
	} {
		h.d.do("open", policy, args{"connectionString": g.policy(policy)})
		for op, a := range map[string]args{
			"get": naming(id), "create": create, "twin": naming(id), "patchTwin": patch,
			"query": {"query": "SELECT * FROM devices WHERE deviceId = '" + id + "'", "kind": "Twin"},
		} {
			err := h.d.try(op, policy, a)
			if may[op] && err != nil {
				t.Errorf("%s: %s: %v", policy, op, err)
			} else if !may[op] {
				h.wantRefusal(policy+": "+op, err, 401, unauthorized(op))
			}
		}
	}
	forged := "HostName=" + g.Ready.HostName + ";SharedAccessKeyName=iothubowner;SharedAccessKey=Zm9yZ2Vk"
	h.d.do("open", "forged", args{"connectionString": forged})
	h.wantRefusal("get with a forged key", h.d.try("get", "forged", naming(id)), 401, unauthorized("get"))
}

// unauthorized is how the hub says 401: by the name to the registry's clients, by the
// number to those of twins.
func unauthorized(op string) string {
	if op == "twin" || op == "patchTwin" {
		return "401002"
	}
	return "IotHubUnauthorizedAccess"
}

// notOffered asks for what needs a storage account.
func notOffered(t *testing.T, _ *gateway, h *hub) {
	err := h.d.try("exportDevices", "service", args{"container": "https://account.blob.core.windows.net/c?sig=x"})
	if err == nil {
		t.Error("the export of devices to a blob succeeds, and there are no blobs")
	}
}

// feedbackReceived takes the feedback of a message over HTTP: once abandoned, it
// comes again; once completed, it does not.
func feedbackReceived(t *testing.T, g *gateway, h *hub) {
	if !h.has("feedback") {
		return
	}
	id := deviceName(t)
	d := h.device.start(t)
	made := h.make(id, nil)
	d.listen("a", h.device.open(g, id, connectionString(g, made), nil))
	g.sendC2D(id, message{Body: []byte("hello"), MessageID: "m1", Ack: "full"})
	d.await("message", func(l line) bool { return l.Event == "message" })
	match := func(o fields) bool {
		records, _ := o.at("records").([]any)
		return slices.ContainsFunc(records, func(r any) bool { m, _ := r.(map[string]any); return m["deviceId"] == id })
	}
	batch := h.until("feedback", "feedback", nil, match)
	record, _ := batch["records"].([]any)[0].(map[string]any)
	if record["originalMessageId"] != "m1" || record["statusCode"] != "Success" || record["deviceGenerationId"] != made.at("generationId") {
		t.Errorf("the feedback is %v, want Success of m1", record)
	}
	h.ask("abandonFeedback", args{"lockToken": batch.text("lockToken")})
	again := h.until("abandoned feedback", "feedback", nil, match)
	h.ask("completeFeedback", args{"lockToken": again.text("lockToken")})
	h.refused("completeFeedback", args{"lockToken": again.text("lockToken")}, 412, "DeviceMessageLockLost")
	if match(h.one("feedback", nil)) {
		t.Error("completed feedback comes again")
	}
	d.do("close", "a", nil)
}
