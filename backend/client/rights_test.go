package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/timeline"
	"github.com/hubgate/hubgate/twin"
)

// strictHub is a hub whose node has the rights of docs/rights.md and no more,
// in a nats-server with the users that stand there.
type strictHub struct {
	url string
	b   *backend.Backbone
	key string // of the device here
}

func (h *strictHub) userURL(role string) string {
	return strings.Replace(h.url, "nats://", "nats://"+role+":change%20me@", 1)
}

// documentedServer runs nats-server with the configuration of the page.
func documentedServer(t *testing.T) *server.Server {
	t.Helper()
	page, err := os.ReadFile(rightsPage)
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "<!-- begin: config -->\n```\n")
	text, _, ok := strings.Cut(text, "```")
	if !ok {
		t.Fatal("the page has no configuration")
	}
	file := filepath.Join(t.TempDir(), "nats.conf")
	text += fmt.Sprintf("listen: \"127.0.0.1:-1\"\njetstream {store_dir: %q}\n", t.TempDir())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return startServer(t, file)
}

// startServer runs nats-server with the configuration of a file.
func startServer(t *testing.T, file string) *server.Server {
	t.Helper()
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats-server does not start")
	}
	return s
}

// startStrict has the node do all that it does.
func startStrict(t *testing.T) *strictHub {
	t.Helper()
	h := &strictHub{url: documentedServer(t).ClientURL()}
	ctx := testContext(t)
	b, err := backend.Connect(ctx, backend.Config{URL: h.userURL("node"), HostName: "plant.example.net"})
	if err != nil {
		t.Fatalf("the rights of a node are not enough: %v", err)
	}
	h.b = b
	t.Cleanup(func() { b.Close(ctx) })
	registry := &identity.Registry{Store: b.Devices()}
	floor := &shopFloor{here: map[hub.Identity]bool{{Device: "here"}: true}}
	_, err1 := b.ServeRegistry(registry)
	_, err2 := b.ServeTwins(&twin.Twins{Store: b.Twins()})
	_, err3 := b.ServeWhy(registry)
	_, err4 := b.ServeC2D()
	service, err5 := b.ServeMethods(ctx, "a", floor)
	_, err6 := b.ServeQueries()
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	h.use(t, ctx, registry)
	if err := b.Conn().LastError(); err != nil {
		t.Errorf("NATS has refused the node something: %v", err)
	}
	return h
}

// use has a device come, send, and be refused.
func (h *strictHub) use(t *testing.T, ctx context.Context, registry *identity.Registry) {
	t.Helper()
	here := hub.Identity{Device: "here"}
	r, err := registry.Create(ctx, identity.Record{ID: here})
	if err != nil {
		t.Fatal(err)
	}
	h.key = r.Authentication.SymmetricKey.PrimaryKey
	if _, err := registry.Create(ctx, identity.Record{ID: hub.Identity{Device: "gone"}}); err != nil {
		t.Fatal(err)
	}
	if err := registry.Delete(ctx, hub.Identity{Device: "gone"}, "*"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.b.Sessions().Claim(ctx, session.Session{ID: here, Node: "a"}); err != nil {
		t.Fatal(err)
	}
	send(t, h.b, here, 3)
	h.b.Recorder().Record(timeline.Entry{ID: here, What: timeline.MethodFailed, Code: hub.DeviceNotOnline, Message: "to be seen"})
}

// dial connects as a role; the operator has the inbox of operators.
func (h *strictHub) dial(t *testing.T, role string) *client.Client {
	t.Helper()
	opts := []nats.Option{nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), nats.NoReconnect()}
	if role == "operator" {
		opts = append(opts, nats.CustomInboxPrefix(subject.Names{}.Inbox()))
	}
	c, err := client.Connect(client.Options{URL: h.userURL(role), NATS: opts})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestRightsAreEnough: each role can do what it is for, and NATS refuses it
// nothing on the way.
func TestRightsAreEnough(t *testing.T) {
	t.Parallel()
	h := startStrict(t)
	for _, role := range []string{"backend", "operator"} {
		c := h.dial(t, role)
		h.converse(t, c)
		if err := c.Conn().LastError(); err != nil {
			t.Errorf("%s: NATS has refused something: %v", role, err)
		}
	}
	reader := h.dial(t, "reader")
	read(t, reader, client.TelemetryOptions{FromStart: true})
	read(t, reader, client.TelemetryOptions{FromStart: true, Durable: "reader"})
	if err := reader.Conn().LastError(); err != nil {
		t.Errorf("reader: NATS has refused something: %v", err)
	}
	operator := h.dial(t, "operator")
	ctx, id := testContext(t), hub.Identity{Device: "made"}
	if _, err := operator.Registry().Create(ctx, identity.Record{ID: id}); err != nil {
		t.Fatal(err)
	}
	if r, err := operator.Registry().GetWithKeys(ctx, hub.Identity{Device: "here"}); err != nil || r.Authentication.SymmetricKey.PrimaryKey != h.key {
		t.Errorf("the operator does not see keys: %v", err)
	}
	if _, err := operator.Registry().SetStatus(ctx, "made", identity.StatusDisabled, "x"); err != nil {
		t.Error(err)
	}
	if err := operator.Registry().Delete(ctx, id, client.Any); err != nil {
		t.Error(err)
	}
	if p, err := operator.Policy(ctx, "iothubowner"); err != nil || p.PrimaryKey == "" {
		t.Errorf("the operator does not see policies: %v", err)
	}
	if all, err := operator.Cluster(ctx); err != nil || len(all.Streams) == 0 {
		t.Errorf("the operator does not see the cluster: %+v, %v", all, err)
	}
	if err := operator.Conn().LastError(); err != nil {
		t.Errorf("operator: NATS has refused something: %v", err)
	}
}

func read(t *testing.T, c *client.Client, o client.TelemetryOptions) {
	t.Helper()
	n := 0
	err := c.Consume(testContext(t), o, func(client.Event) error {
		if n++; n == 3 {
			return client.ErrStop
		}
		return nil
	})
	if err != nil {
		t.Errorf("read telemetry: %v", err)
	}
}

// converse uses all that docs/nats.md has for back-end apps.
func (h *strictHub) converse(t *testing.T, c *client.Client) {
	t.Helper()
	ctx, here := testContext(t), hub.Identity{Device: "here"}
	name := strings.ReplaceAll(t.Name(), "/", "_") + fmt.Sprint(time.Now().UnixNano())
	read(t, c, client.TelemetryOptions{FromStart: true})
	read(t, c, client.TelemetryOptions{FromStart: true, Durable: name})
	read(t, c, client.TelemetryOptions{FromStart: true, Durable: name + "each", Ack: client.AckEach, Of: here})
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	r, err := c.Registry().Get(ctx, here)
	check("get", err)
	if r.Authentication.SymmetricKey.PrimaryKey != "" {
		t.Error("get shows keys")
	}
	_, _, err = c.Registry().List(ctx, identity.Query{})
	check("list", err)
	_, _, err = c.Registry().List(ctx, identity.Query{Device: "here"})
	check("list modules", err)
	_, err = c.HostName(ctx)
	check("host name", err)
	_, err = c.Twins().Get(ctx, here)
	check("twin", err)
	_, err = c.Twins().Update(ctx, here, twin.Write{Body: []byte(`{"tags":{"a":1}}`)})
	check("twin update", err)
	_, err = c.Twins().History(ctx, here)
	check("twin history", err)
	_, err = c.Methods().Invoke(ctx, methods.Call{ID: here, Method: "m"})
	check("method", err)
	order := methods.Order{Call: methods.Call{ID: hub.Identity{Device: "here"}, Method: "m"}, Wait: time.Hour}
	if _, err = c.Methods().InvokeWhenOnline(ctx, order); err != nil {
		t.Errorf("method that waits: %v", err)
	}
	for _, err := range c.Methods().ListCommands(ctx, here) {
		check("commands", err)
	}
	_, err = c.C2D().Send(ctx, c2d.Message{Device: "here", Body: []byte("x"), Ack: c2d.AckFull})
	check("send", err)
	for _, err := range c.C2D().Queue(ctx, "here") {
		check("queue", err)
	}
	_, err = c.C2D().Purge(ctx, "here")
	check("purge", err)
	for _, err := range c.C2D().DeadLetters(ctx, "here") {
		check("dead letters", err)
	}
	check("feedback", c.C2D().Feedback(ctx, client.FeedbackOptions{Durable: name, FromStart: true}, func(c2d.Feedback) error { return client.ErrStop }))
	report, err := c.Why(ctx, here)
	check("why", err)
	if len(report.Entries) == 0 {
		t.Error("why shows nothing")
	}
	_, err = c.WhyAddress(ctx, "192.0.2.1")
	check("why address", err)
	for row, err := range c.Query(ctx, "SELECT * FROM devices") {
		check("query", err)
		if strings.Contains(string(row), h.key) {
			t.Error("a query shows keys")
		}
	}
	check("watch a query", c.WatchQuery(ctx, "SELECT * FROM devices", func(client.QueryEvent) error { return client.ErrStop }))
	h.watch(t, c)
}

// watch reads buckets and listens as the nats command does.
func (h *strictHub) watch(t *testing.T, c *client.Client) {
	t.Helper()
	ctx := testContext(t)
	js, err := jetstream.New(c.Conn())
	if err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{"hub_presence", "hub_twins"} {
		kv, err := js.KeyValue(ctx, bucket)
		if err != nil {
			t.Errorf("bucket %s: %v", bucket, err)
			continue
		}
		if _, err := kv.Get(ctx, "here"); err != nil {
			t.Errorf("%s: %v", bucket, err)
		}
		w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
		if err != nil {
			t.Errorf("watch %s: %v", bucket, err)
			continue
		}
		if e := <-w.Updates(); e == nil || e.Key() != "here" {
			t.Errorf("watch %s: got %v", bucket, e)
		}
		_ = w.Stop()
	}
	for _, s := range []string{"hub.telemetry.>", "hub.events.>", "hub.timeline.>", "hub.feedback.>", "hub.deadletter.>"} {
		if _, err := c.Conn().SubscribeSync(s); err != nil {
			t.Error(err)
		}
	}
	if err := c.Conn().FlushTimeout(patience); err != nil {
		t.Error(err)
	}
}

// forbidden are what neither a back-end app nor a reader may publish on: the
// ways to keys, to other people's streams, and to the server.
func forbidden() []string {
	all := []string{
		"hub.registry.keys.here", "hub.registry.put.here", "hub.registry.put.new", "hub.registry.delete.here",
		"hub.telemetry.here", "hub.events.connection.here", "hub.timeline.device.here", "hub.feedback.here", "hub.deadletter.here",
		"hub.session.claimed.here", "hub.session.method.a", "hub.session.twin.here", "hub.node.reload", "hub.session.node", "hub.session.drain.a", "hub.authority.list", "hub.authority.put.x", "hub.authority.delete.x",
		"$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.UPDATE.HUB_TELEMETRY", "$JS.API.STREAM.DELETE.HUB_TELEMETRY",
		"$JS.API.STREAM.PURGE.HUB_TELEMETRY", "$JS.API.STREAM.RESTORE.MINE", "$JS.API.STREAM.SNAPSHOT.HUB_TELEMETRY",
		"$JS.API.STREAM.MSG.DELETE.HUB_TELEMETRY", "$JS.API.ACCOUNT.PURGE.HUB", "$JS.API.CONSUMER.CREATE.HUB_C2D.x",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING.CONNZ", "other",
	}
	for _, bucket := range (subject.Names{}).Buckets() {
		all = append(all, "$KV."+bucket+".here")
	}
	for _, s := range []string{"KV_hub_devices", "KV_hub_policies", "KV_hub_authorities"} {
		all = append(all,
			"$JS.API.DIRECT.GET."+s, "$JS.API.DIRECT.GET."+s+".$KV.hub_devices.here", "$JS.API.STREAM.MSG.GET."+s, "$JS.API.STREAM.INFO."+s,
			"$JS.API.CONSUMER.CREATE."+s, "$JS.API.CONSUMER.CREATE."+s+".c", "$JS.API.CONSUMER.CREATE."+s+".c.$KV.hub_devices.here",
			"$JS.API.CONSUMER.DURABLE.CREATE."+s+".c", "$JS.API.CONSUMER.MSG.NEXT."+s+".c", "$JS.API.CONSUMER.INFO."+s+".c",
			"$JS.API.CONSUMER.LIST."+s, "$JS.API.CONSUMER.RESET."+s+".c", "$JS.API.STREAM.SNAPSHOT."+s, "$JS.API.STREAM.UPDATE."+s, "$JS.ACK."+s+".c.1.1.1.1.0",
		)
	}
	return all
}

// TestRightsAreNotMore: NATS refuses what a role must not do.
func TestRightsAreNotMore(t *testing.T) {
	t.Parallel()
	h := startStrict(t)
	closed := []string{
		">", "_INBOX_hub.>", "hub.>", "hub.registry.>", "hub.registry.keys.>", "hub.session.>", "hub.c2d.>", "hub.method.>", "hub.twin.>",
		"$KV.>", "$KV.hub_devices.>", "$JS.>", "$JS.ACK.>", "$SYS.>", "$SRV.>",
	}
	for _, role := range []string{"backend", "reader"} {
		for _, s := range forbidden() {
			h.refuses(t, role, s, func(nc *nats.Conn) error { return nc.PublishRequest(s, nc.NewInbox(), nil) })
		}
		for _, s := range closed {
			h.refuses(t, role, s, func(nc *nats.Conn) error { _, err := nc.SubscribeSync(s); return err })
		}
	}
	for _, s := range []string{"hub.twin.get.here", "hub.method.here.m", "hub.c2d.here", "hub.registry.list", "hub.why.here", "$JS.API.STREAM.INFO.HUB_EVENTS", "$JS.API.CONSUMER.CREATE.KV_hub_twins"} {
		h.refuses(t, "reader", s, func(nc *nats.Conn) error { return nc.PublishRequest(s, nc.NewInbox(), nil) })
	}
	for _, s := range []string{"$KV.hub_devices.here", "$JS.API.STREAM.DELETE.HUB_TELEMETRY", "$JS.API.DIRECT.GET.KV_hub_devices.$KV.hub_devices.here", "$KV.hub_policies.x", "hub.telemetry.here", "$SYS.REQ.SERVER.PING"} {
		h.refuses(t, "operator", s, func(nc *nats.Conn) error { return nc.PublishRequest(s, nc.NewInbox(), nil) })
	}
	for _, s := range []string{"$SYS.REQ.SERVER.PING", "other", "$KV.other.x"} {
		h.refuses(t, "node", s, func(nc *nats.Conn) error { return nc.PublishRequest(s, nc.NewInbox(), nil) })
	}
}

func (h *strictHub) refuses(t *testing.T, role, s string, do func(*nats.Conn) error) {
	t.Helper()
	nc, err := nats.Connect(h.userURL(role), nats.NoReconnect(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := errors.Join(do(nc), nc.FlushTimeout(patience)); err != nil {
		t.Fatal(err)
	}
	if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("%s on %s: NATS refuses nothing (%v)", role, s, err)
	}
}

// TestRefusedRequestsAreTold: who may not ask hears so, and does not wait for an
// answer until his time is over.
func TestRefusedRequestsAreTold(t *testing.T) {
	t.Parallel()
	h := startStrict(t)
	c, err := client.Connect(client.Options{URL: h.userURL("reader")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, here := testContext(t), hub.Identity{Device: "here"}
	_, twinErr := c.Twins().Get(ctx, here)
	_, methodErr := c.Methods().Invoke(ctx, methods.Call{ID: here, Method: "m"})
	_, jobErr := c.Jobs().Get(ctx, "j")
	_, registryErr := c.Registry().Get(ctx, here)
	for what, err := range map[string]error{"twin": twinErr, "method": methodErr, "job": jobErr, "registry": registryErr} {
		if hub.CodeOf(err) != hub.Unauthorized {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestKeysDoNotPassCommonInboxes: a back-end app that listens to all inboxes
// hears no key, whatever node and operator do meanwhile.
func TestKeysDoNotPassCommonInboxes(t *testing.T) {
	t.Parallel()
	h := startStrict(t)
	spy, err := nats.Connect(h.userURL("backend"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(spy.Close)
	all, err := spy.SubscribeSync("_INBOX.>")
	if err == nil {
		err = spy.FlushTimeout(patience)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, operator := testContext(t), h.dial(t, "operator")
	if _, err := operator.Registry().GetWithKeys(ctx, hub.Identity{Device: "here"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.b.Devices().Get(ctx, hub.Identity{Device: "here"}); err != nil {
		t.Fatal(err)
	}
	other := h.dial(t, "backend") // of whom the spy must hear, or it is deaf
	if _, err := other.Registry().Get(ctx, hub.Identity{Device: "here"}); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := all.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(m.Data), h.key) {
			t.Errorf("the key is in an answer on %s", m.Subject)
		}
		if strings.Contains(string(m.Data), `"deviceId":"here"`) {
			return // the last question is answered, and so are those before it
		}
	}
}

// TestStreamsAreNoDeputies: an app has JetStream deliver its own messages to the
// registry, which it may not use; the registry does not obey.
func TestStreamsAreNoDeputies(t *testing.T) {
	t.Parallel()
	h := startStrict(t)
	c := h.dial(t, "backend")
	ctx := testContext(t)
	js, err := jetstream.New(c.Conn())
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreatePushConsumer(ctx, "HUB_TELEMETRY", jetstream.ConsumerConfig{DeliverSubject: "hub.registry.delete.here", AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	probe := nats.NewMsg("$JS.API.DIRECT.GET.HUB_TELEMETRY")
	probe.Reply, probe.Data = "hub.registry.delete.here", []byte(`{"seq":1}`)
	if err := c.Conn().PublishMsg(probe); err != nil {
		t.Fatal(err)
	}
	// A request behind those: the service takes them in the order they come.
	if _, err := c.Registry().Get(ctx, hub.Identity{Device: "here"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.b.Devices().Get(ctx, hub.Identity{Device: "here"}); err != nil {
		t.Errorf("the device is gone: %v", err)
	}
}

// Who may publish to the queue of a device and nothing else sends at once, as often
// as he likes: what he can't learn of the limits is IoT Hub's.
func TestSendWithNoOtherRight(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	text := fmt.Sprintf(`listen: "127.0.0.1:-1"
jetstream {store_dir: %q}
authorization {users: [
  {user: node, password: x}
  {user: sender, password: x, permissions: {publish: ["hub.c2d.dev1"], subscribe: ["_INBOX.>"]}}
]}
`, t.TempDir())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	at := startServer(t, file).ClientURL()
	url := func(user string) string { return strings.Replace(at, "nats://", "nats://"+user+":x@", 1) }
	b, err := backend.Connect(testContext(t), backend.Config{URL: url("node"), HostName: "plant.example.net"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(context.Background()) })
	if _, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: hub.Identity{Device: "dev1"}}); err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(client.Options{URL: url("sender")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(testContext(t), 4*time.Second) // less than the wait for an answer
	defer cancel()
	for range 3 {
		if _, err := c.C2D().Send(ctx, c2d.Message{Device: "dev1"}); err != nil {
			t.Fatalf("Send = %v", err)
		}
	}
	if _, err := c.C2D().Send(ctx, c2d.Message{Device: "dev1", Body: make([]byte, c2d.MaxSize+1)}); hub.CodeOf(err) != hub.MessageTooLarge {
		t.Errorf("Send = %v", err)
	}
}
