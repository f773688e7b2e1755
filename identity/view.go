package identity

import (
	"encoding/json"
	"time"
)

// Activity is what others know of an identity: its sessions and its queue. The
// zero value is that of one which has never connected.
type Activity struct {
	Connected    bool
	StateUpdated time.Time // when Connected last changed
	LastActivity time.Time
	Messages     int // that wait for the device
}

// Statistics counts devices.
type Statistics struct {
	Devices, Enabled, Disabled int // that are registered
	Connected                  int // that are connected now
}

// View is an identity as IoT Hub's service API prints it: what the registry
// knows of it and what others do. Its JSON has the keys, in IoT Hub's order.
type View struct {
	Record
	Activity
}

// The JSON forms of views. Their fields are in the order in which IoT Hub prints
// them.
type (
	deviceView struct {
		DeviceID                   string         `json:"deviceId"`
		GenerationID               string         `json:"generationId"`
		ETag                       string         `json:"etag"`
		ConnectionState            string         `json:"connectionState"`
		Status                     Status         `json:"status"`
		StatusReason               text           `json:"statusReason"`
		ConnectionStateUpdatedTime moment         `json:"connectionStateUpdatedTime"`
		StatusUpdatedTime          moment         `json:"statusUpdatedTime"`
		LastActivityTime           moment         `json:"lastActivityTime"`
		CloudToDeviceMessageCount  int            `json:"cloudToDeviceMessageCount"`
		Authentication             Authentication `json:"authentication"`
		Capabilities               capabilities   `json:"capabilities"`
		DeviceScope                string         `json:"deviceScope,omitempty"`
		ParentScopes               []string       `json:"parentScopes,omitempty"`
	}
	moduleView struct {
		ModuleID                   string         `json:"moduleId"`
		ManagedBy                  text           `json:"managedBy"`
		DeviceID                   string         `json:"deviceId"`
		GenerationID               string         `json:"generationId"`
		ETag                       string         `json:"etag"`
		ConnectionState            string         `json:"connectionState"`
		ConnectionStateUpdatedTime moment         `json:"connectionStateUpdatedTime"`
		LastActivityTime           moment         `json:"lastActivityTime"`
		CloudToDeviceMessageCount  int            `json:"cloudToDeviceMessageCount"`
		Authentication             Authentication `json:"authentication"`
	}
)

// moment is a time as IoT Hub prints it: seven digits at most, without zeros at
// the end, in UTC. Never is the year 1.
type moment time.Time

// MarshalJSON implements json.Marshaler.
func (m moment) MarshalJSON() ([]byte, error) {
	return time.Time(m).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.9999999Z"`), nil
}

// MarshalJSON implements json.Marshaler.
func (v View) MarshalJSON() ([]byte, error) {
	state := "Disconnected"
	if v.Connected {
		state = "Connected"
	}
	if v.ID.IsModule() {
		return json.Marshal(moduleView{
			ModuleID: v.ID.Module, ManagedBy: text(v.ManagedBy), DeviceID: v.ID.Device, GenerationID: v.GenerationID, ETag: v.ETag,
			ConnectionState: state, ConnectionStateUpdatedTime: moment(v.StateUpdated), LastActivityTime: moment(v.LastActivity),
			CloudToDeviceMessageCount: v.Messages, Authentication: v.Authentication,
		})
	}
	return json.Marshal(deviceView{
		DeviceID: v.ID.Device, GenerationID: v.GenerationID, ETag: v.ETag,
		ConnectionState: state, Status: v.Status, StatusReason: text(v.StatusReason),
		ConnectionStateUpdatedTime: moment(v.StateUpdated), StatusUpdatedTime: moment(v.StatusUpdatedTime), LastActivityTime: moment(v.LastActivity),
		CloudToDeviceMessageCount: v.Messages, Authentication: v.Authentication,
		Capabilities: capabilities{v.Edge}, DeviceScope: v.Scope, ParentScopes: v.ParentScopes,
	})
}
