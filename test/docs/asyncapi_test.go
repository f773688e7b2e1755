package docs

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

// suite is the document and a hub to hold it against.
type suite struct {
	doc *document
	hub *hubtest.Gateway
}

// TestAsyncAPI holds docs/asyncapi.yaml against a running hub, both ways.
func TestAsyncAPI(t *testing.T) {
	t.Parallel()
	s := &suite{
		doc: readDocument(t),
		hub: hubtest.Start(t, hubtest.Options{Flags: []string{"--node", "a.b", "--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0"}}),
	}
	t.Run("streams", s.testStreams)
	t.Run("services", s.testServices)
	t.Run("messages", s.testMessages)
}

// testMessages has everything happen that the document describes, and looks
// at all messages of it, and at what the hub has stored before.
func (s *suite) testMessages(t *testing.T) {
	p := s.listen(t)
	b := &backEnd{t: t, hub: s.hub}
	b.play()
	p.awaitAll()
	p.stored(s)
}

// stored looks at all that is in the buckets, of which policies have been
// there from the beginning.
func (p *tap) stored(s *suite) {
	p.t.Helper()
	for name := range child(p.doc.root, "x-buckets") {
		kv, err := s.hub.JS.KeyValue(p.t.Context(), name)
		if err != nil {
			p.t.Fatal(err)
		}
		watcher, err := kv.WatchAll(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		for e := range watcher.Updates() {
			if e == nil {
				break
			}
			p.entry(s, name, e)
		}
		_ = watcher.Stop()
	}
}

func (p *tap) entry(s *suite, bucket string, e jetstream.KeyValueEntry) {
	p.t.Helper()
	stream, err := s.hub.JS.Stream(p.t.Context(), "KV_"+bucket)
	if err != nil {
		p.t.Fatal(err)
	}
	raw, err := stream.GetMsg(p.t.Context(), e.Revision())
	if err != nil {
		return // it has been replaced meanwhile
	}
	p.take(&nats.Msg{Subject: raw.Subject, Header: raw.Header, Data: raw.Data})
}
