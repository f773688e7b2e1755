package backend

import (
	"encoding/json"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// lifecycleEvent is the body of an event about the registry.
type lifecycleEvent struct {
	DeviceID     string `json:"deviceId"`
	ModuleID     string `json:"moduleId,omitempty"`
	GenerationID string `json:"generationId,omitempty"`
}

var _ identity.Lifecycle = (*Events)(nil)

// Created implements [identity.Lifecycle].
func (v *Events) Created(r identity.Record) { v.lifecycle(r.ID, r.GenerationID, "create") }

// Deleted implements [identity.Lifecycle].
func (v *Events) Deleted(r identity.Record) { v.lifecycle(r.ID, r.GenerationID, "delete") }

func (v *Events) lifecycle(id hub.Identity, generation, verb string) {
	k := kind{"deviceLifecycleEvents", "deviceLifecycleNotification", verb + "DeviceIdentity"}
	if id.IsModule() {
		k.schema, k.opType = "moduleLifecycleNotification", verb+"ModuleIdentity"
	}
	body, err := json.Marshal(lifecycleEvent{id.Device, id.Module, generation})
	if err != nil {
		v.lost(id, err)
		return
	}
	v.enqueue(&notice{events: v, id: id, subject: v.names.LifecycleEvent(id), body: body, at: time.Now(), kind: k})
}
