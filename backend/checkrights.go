package backend

import (
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// By these JetStream refuses what is published to find out whether it may be: no
// stream has this name.
const (
	noStream  = "hubgate-check-is-no-stream"
	probeBody = `{"name":"` + noStream + `","stream_name":"` + noStream + `"}`
)

// probe is one right that a node needs, and a subject that tells whether it has
// it. Nothing happens by a message there: it is refused, or nobody listens.
type probe struct{ right, subject string }

// publishing lists what a node must be able to publish on.
func (c *checker) publishing() []probe {
	n := c.cfg.names()
	p := strings.TrimSuffix(n.TelemetryAll(), ".telemetry.>")
	probes := []probe{
		{n.TelemetryAll(), p + ".telemetry.check=20"},
		{n.EventsAll(), p + ".events.check"},
		{p + ".timeline.>", p + ".timeline.check"},
		{p + ".c2d.>", n.C2D("check ")},
		{n.FeedbackAll(), n.Feedback("check ")},
		{n.DeadLetterAll(), n.DeadLetter("check ")},
		{p + ".session.>", p + ".session.check"},
		{"$SRV.>", "$SRV.check"},
		{n.Inbox() + ".>", n.Inbox() + ".check"},
		{"_INBOX.>", "_INBOX.check"},
		{"$JS.FC.>", "$JS.FC.check"},
	}
	api := "$JS.API."
	if c.cfg.Domain != "" {
		api = "$JS." + c.cfg.Domain + ".API."
	}
	for _, s := range n.Streams() { // the body names another stream: refused
		for _, verb := range []string{"STREAM.INFO.", "STREAM.CREATE.", "STREAM.UPDATE.", "CONSUMER.CREATE."} {
			probes = append(probes, probe{api + verb + s, api + verb + s})
		}
		probes = append(probes, probe{api + "DIRECT.GET." + s, api + "DIRECT.GET." + s}, probe{api + "DIRECT.GET." + s + ".>", api + "DIRECT.GET." + s + ".check"})
	}
	for _, b := range n.Buckets() {
		kv := "$KV." + b + "."
		if c.cfg.Domain != "" {
			kv = api + kv
		}
		probes = append(probes, probe{kv + ">", kv + "check=20"})
	}
	return probes
}

// subscribing lists what a node must be able to subscribe to.
func (c *checker) subscribing() []probe {
	n := c.cfg.names()
	p := strings.TrimSuffix(n.TelemetryAll(), ".telemetry.>")
	var probes []probe
	for _, s := range []string{
		n.Inbox() + ".>", "$SRV.>", p + ".session.>", p + ".registry.>", p + ".twin.>", p + ".method.>", p + ".command.>",
		p + ".c2d.>", p + ".why.>", p + ".why-address.*", p + ".node.>", p + ".authority.>", p + ".query", p + ".query.>",
	} {
		probes = append(probes, probe{s, s})
	}
	return probes
}

// rights tries everything that the node's user must be allowed to do.
func (c *checker) rights(d *dialer) {
	var refused refusals
	nc, err := d.dial("check", nats.NoReconnect(), nats.ErrorHandler(refused.add), nats.ClosedHandler(refused.close))
	if err != nil {
		return // it was there a moment ago: the rest tells
	}
	publish, subscribe := c.publishing(), c.subscribing()
	for _, p := range publish {
		m := nats.NewMsg(p.subject)
		m.Reply, m.Data = nc.NewInbox(), []byte(probeBody)
		m.Header.Set("Nats-Expected-Stream", noStream)
		_ = nc.PublishMsg(m)
	}
	for _, p := range subscribe {
		_, _ = nc.SubscribeSync(p.subject)
	}
	_ = nc.FlushTimeout(assetTimeout)
	nc.Close() // all refusals have been told when that is
	<-refused.closed()
	missing := refused.missing(publish, "publish")
	missing = append(missing, refused.missing(subscribe, "subscribe")...)
	for _, text := range missing {
		c.bad("nats: rights", "the user lacks the right to "+text, "give the user the rights of a node in docs/rights.md")
	}
	if len(missing) == 0 {
		c.good("nats: rights", fmt.Sprintf("all %d that a node needs were tried", len(publish)+len(subscribe)))
	}
}

// refusals collects what NATS refuses. It is safe for concurrent use.
type refusals struct {
	mu    sync.Mutex
	texts []string
	done  chan struct{}
}

func (r *refusals) add(_ *nats.Conn, _ *nats.Subscription, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, err.Error())
}

func (r *refusals) close(*nats.Conn) { close(r.closed()) }

func (r *refusals) closed() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done == nil {
		r.done = make(chan struct{})
	}
	return r.done
}

// missing names the rights of those probes that were refused, each once.
func (r *refusals) missing(probes []probe, verb string) []string {
	all := strings.ToLower(strings.Join(r.texts, "\n"))
	kind := map[string]string{"publish": "publish to", "subscribe": "subscription to"}[verb]
	var found []string
	for _, p := range probes {
		if strings.Contains(all, strings.ToLower(fmt.Sprintf("%s %q", kind, p.subject))) {
			found = append(found, verb+" "+p.right)
		}
	}
	return found
}
