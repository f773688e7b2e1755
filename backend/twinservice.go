package backend

import (
	"context"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/twin"
)

// TwinService answers back-end apps who read and write twins over NATS.
type TwinService struct {
	responder

	twins *twin.Twins
	micro micro.Service
}

// ServeTwins registers the NATS service hub-twin, until Stop or until the
// backbone is closed. Several nodes share the requests.
func (b *Backbone) ServeTwins(t *twin.Twins) (*TwinService, error) {
	s := &TwinService{responder: b.responder("twin"), twins: t}
	var err error
	s.micro, err = b.service(micro.Config{Name: b.names.TwinName(), Description: "twins of devices and modules"}, s.endpoints(), s.handler)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stop takes no more requests.
func (s *TwinService) Stop() error { return s.micro.Stop() }

const (
	twinSchema   = `{"type":"object","description":"a twin as IoT Hub prints it","required":["deviceId","etag","version","properties"],"properties":{"deviceId":{"type":"string"},"moduleId":{"type":"string"},"etag":{"type":"string"},"version":{"type":"integer"},"tags":{"type":"object"},"properties":{"type":"object","properties":{"desired":{"type":"object","properties":{"$version":{"type":"integer"},"$metadata":{"type":"object"}}},"reported":{"type":"object","properties":{"$version":{"type":"integer"},"$metadata":{"type":"object"}}}}}}}`
	updateSchema = `{"type":"object","description":"tags and desired properties; header If-Match: an etag or *; header Hub-By: who writes","anyOf":[{"required":["tags"]},{"required":["properties"]}],"properties":{"tags":{"type":"object"},"properties":{"type":"object","properties":{"desired":{"type":"object"}}}}}`
)

func (s *TwinService) endpoints() []endpoint {
	all, family := s.names.TwinAll, func(v subject.Verb) string { return "twin." + string(v) }
	return []endpoint{
		{"get", all(subject.Get), family(subject.Get), emptySchema, twinSchema, s.get},
		{"update", all(subject.Update), family(subject.Update), updateSchema, twinSchema, s.update},
		{"replace", all(subject.Replace), family(subject.Replace), updateSchema, twinSchema, s.replace},
	}
}

// get answers hub.twin.get.{device}[.{module}].
func (s *TwinService) get(ctx context.Context, r request) (any, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return nil, err
	}
	return text(s.twins.Get(ctx, r.id))
}

// update answers hub.twin.update.{device}[.{module}].
func (s *TwinService) update(ctx context.Context, r request) (any, error) {
	return text(s.twins.Update(ctx, r.id, write(r)))
}

// replace answers hub.twin.replace.{device}[.{module}].
func (s *TwinService) replace(ctx context.Context, r request) (any, error) {
	return text(s.twins.Replace(ctx, r.id, write(r)))
}

func write(r request) twin.Write { return twin.Write{Body: r.body, IfMatch: r.ifMatch, By: r.by} }

// text is a twin as an answer, or what an operation on it has failed with. On
// the paths of twins IoT Hub has one code for a device and a module that does
// not exist; here each keeps its own.
func text(t twin.Twin, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return raw(t.AppendJSON(nil)), nil
}

// raw is an answer that is JSON already.
type raw []byte
