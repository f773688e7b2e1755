package rest

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/twin"
)

// bulkItem is one device or module of a bulk request, as exports have it too.
// SDKs don't agree on the case of the names.
type bulkItem struct {
	ID             string                  `json:"id"`
	ModuleID       string                  `json:"moduleId"`
	ETag           string                  `json:"eTag"`
	ImportMode     string                  `json:"importMode"`
	Status         identity.Status         `json:"status"`
	StatusReason   string                  `json:"statusReason"`
	ManagedBy      string                  `json:"managedBy"`
	Authentication identity.Authentication `json:"authentication"`
	Capabilities   struct {
		IoTEdge bool `json:"iotEdge"`
	} `json:"capabilities"`
	DeviceScope  string         `json:"deviceScope"`
	ParentScopes []string       `json:"parentScopes"`
	TwinETag     string         `json:"twinETag"`
	Tags         jsontext.Value `json:"tags"`
	Properties   struct {
		Desired jsontext.Value `json:"desired"`
	} `json:"properties"`
}

func (i *bulkItem) identity() hub.Identity { return hub.Identity{Device: i.ID, Module: i.ModuleID} }

func (i *bulkItem) record() identity.Record {
	return identity.Record{
		ID: i.identity(), Status: i.Status, StatusReason: i.StatusReason, ManagedBy: i.ManagedBy, Authentication: i.Authentication,
		Edge: i.Capabilities.IoTEdge, Scope: i.DeviceScope, ParentScopes: i.ParentScopes,
	}
}

// hasTwin reports whether the item says anything of the twin.
func (i *bulkItem) hasTwin() bool { return isGiven(i.Tags) || isGiven(i.Properties.Desired) }

func isGiven(v jsontext.Value) bool { return len(v) > 0 && v.Kind() != 'n' }

// write is what the item says of the twin, whatever its etag: mergeTwin alone asks for
// that.
func (i *bulkItem) write(s *Server, by string) (twin.Write, error) {
	if s.Twins == nil {
		return twin.Write{}, hub.Errorf(hub.NotSupported, "this hub does not offer twins")
	}
	body := []byte{'{'}
	if isGiven(i.Tags) {
		body = append(append(body, `"tags":`...), i.Tags...)
	}
	if isGiven(i.Properties.Desired) {
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(append(append(body, `"properties":{"desired":`...), i.Properties.Desired...), '}')
	}
	return twin.Write{Body: append(body, '}'), By: by}, nil
}

// checked is write, if the item says anything of the twin, and fails for what no twin
// would take: before an identity has new keys because of it.
func (i *bulkItem) checked(s *Server, by string) (w twin.Write, err error) {
	if !i.hasTwin() {
		return twin.Write{}, nil
	}
	if w, err = i.write(s, by); err == nil {
		_, err = twin.ParseUpdate(w.Body)
	}
	return w, err
}

// beginTwin gives a new identity the twin that came with it.
func (s *Server) beginTwin(ctx context.Context, i *bulkItem, by string) error {
	if !i.hasTwin() {
		return nil
	}
	w, err := i.write(s, by)
	if err != nil {
		return err
	}
	_, err = s.Twins.Begin(ctx, i.identity(), w)
	return err
}

// mergeTwin changes the twin alone.
func (s *Server) mergeTwin(ctx context.Context, i *bulkItem, etag, by string) error {
	if !i.hasTwin() {
		return hub.Errorf(hub.ArgumentNull, "the item has neither tags nor properties.desired, and nothing else of a twin can be written")
	}
	w, err := i.write(s, by)
	if err != nil {
		return err
	}
	w.IfMatch = etag
	_, err = s.Twins.Update(ctx, i.identity(), w)
	return err
}
