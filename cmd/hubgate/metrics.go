package main

import (
	"context"
	"crypto/x509"
	"net/http"
	"sync"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/monitor"
	"github.com/hubgate/hubgate/gateway/rest"
	"github.com/hubgate/hubgate/internal/pki"
)

// metrics wires what the parts of the node count to what Prometheus reads.
func (n *node) metrics() http.Handler {
	sampler := &monitor.Sampler{Ask: n.back.Sample}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		sampler.Run(ctx)
	}()
	n.onStop(func(context.Context) {
		cancel()
		<-done
	})
	v := version()
	return monitor.Handler(monitor.Sources{
		Build:    monitor.Build{Version: v.Version, Commit: v.Commit, Go: v.Go, Node: n.cfg.Node, Hub: n.cfg.Hub.Host},
		Gateway:  n.gateway.Stats,
		Face:     n.face.Stats,
		Throttle: n.limiter.Counts,
		Backend:  n.back.Stats,
		Timeline: n.back.Recorder().Counts,
		Twins:    n.twinCounts,
		Traces:   n.tracer.Stats,
		Web:      func() monitor.Web { return webOf(n.rest) },
		Ready:    n.readyByName,
		Draining: n.draining,
		Endings:  (&endings{node: n}).all, FreeBytes: n.freeBytes,
		Sample: sampler.Last,
		Jobs:   n.jobs.Counts, Configurations: n.controller.Count,
	})
}

func webOf(s *rest.Server) monitor.Web {
	now, most := s.InFlight()
	return monitor.Web{Routes: s.Stats(), InFlight: now, Most: most}
}

func (n *node) readyByName(ctx context.Context) map[string]bool {
	results, _ := n.admin.Ready(ctx)
	all := map[string]bool{}
	for _, r := range results {
		all[r.Name] = r.OK
	}
	return all
}

// freeBytes is what the disk of the embedded server has left; below 0: there is
// none, or it is not known.
func (n *node) freeBytes() int64 {
	if n.nats == nil {
		return -1
	}
	return freeBytes(n.cfg.DataDir)
}

// endingsEvery is how often the files of certificates are read for metrics.
const endingsEvery = time.Minute

// endings is when what the node shows or goes by ends. The server's certificates
// and the issuer are those in use, the rest is read from its files now and then.
type endings struct {
	node *node

	mu    sync.Mutex
	read  time.Time
	files []monitor.Ending
}

func (e *endings) all() []monitor.Ending {
	n := e.node
	var all []monitor.Ending
	for _, c := range n.certs.shown.Certificates() {
		all = append(all, endingOf("server", c.Leaf))
	}
	if n.issuer != nil {
		all = append(all, endingOf(issuerKind, n.issuer.Authority()))
	}
	for _, a := range n.back.Authorities().All() {
		if cert, err := a.Parse(); err == nil {
			all = append(all, monitor.Ending{Kind: "registered authority", Name: a.Name, Ends: cert.NotAfter})
		}
	}
	return append(all, e.ofFiles(time.Now())...)
}

// ofFiles returns what the files of the configuration end with. One that can't be
// read is told of by whoever needs it.
func (e *endings) ofFiles(now time.Time) []monitor.Ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.read) < endingsEvery {
		return e.files
	}
	e.read, e.files = now, nil
	for _, f := range watchedCertificates(e.node.cfg) {
		found, err := f.endings(now)
		if err != nil || f.what == "server" || f.what == issuerKind {
			continue
		}
		for _, end := range found {
			e.files = append(e.files, monitor.Ending{Kind: end.What, Name: end.Name, Ends: end.Ends})
		}
	}
	return e.files
}

func endingOf(kind string, c *x509.Certificate) monitor.Ending {
	name := c.Subject.CommonName
	if names := pki.NamesOf(c); len(names) > 0 {
		name = names[0]
	}
	return monitor.Ending{Kind: kind, Name: name, Ends: c.NotAfter}
}
