package rest

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// What a bulk request may hold: each device with a twin that is as large as it
// may be.
const (
	maxBulk      = 100
	maxBulkBody  = 8 << 20
	maxBulkError = 512 // of a sentence about one device
	bulkTime     = 2 * time.Minute
)

// bulkResult is the answer to a bulk request. Its lists are never null.
type bulkResult struct {
	Successful bool          `json:"isSuccessful"`
	Errors     []bulkError   `json:"errors"`
	Warnings   []bulkWarning `json:"warnings"`
}

type bulkError struct {
	DeviceID  string `json:"deviceId"`
	ModuleID  string `json:"moduleId,omitempty"`
	Code      string `json:"errorCode"` // its name
	Status    string `json:"errorStatus"`
	Operation string `json:"operation,omitempty"`
}

type bulkWarning struct {
	DeviceID string `json:"deviceId"`
	Code     string `json:"warningCode"`
	Status   string `json:"warningStatus"`
}

// bulk answers POST /devices. Each item stands alone: what fails does not undo
// what was done before it.
func (s *Server) bulk(c *call) (reply, error) {
	var items []bulkItem
	if err := c.decode(maxBulkBody, &items); err != nil {
		return reply{}, err
	}
	if err := checkItems(items); err != nil {
		return reply{}, err
	}
	out := bulkResult{Errors: []bulkError{}, Warnings: []bulkWarning{}}
	for i := range items {
		item := &items[i]
		warning, err := s.importItem(c.ctx(), item, c.by)
		if err != nil {
			out.Errors = append(out.Errors, failed(item.identity(), item.ImportMode, err))
		}
		if warning != nil {
			out.Warnings = append(out.Warnings, bulkWarning{item.ID, "DeviceRegisteredWithoutTwin", short(warning)})
		}
	}
	if len(out.Errors) > 0 {
		return partly(out, hub.BulkFailed, http.StatusBadRequest), nil
	}
	out.Successful = true
	return reply{body: out}, nil
}

// partly is the answer when not all went well. The C# SDK returns what the body
// says only if the second header is there, and else throws.
func partly(body any, code hub.Code, status int) reply {
	return reply{status: status, body: body, headers: http.Header{
		"Iothub-Errorcode": {code.Name()}, "Iothuberrorcode": {code.Name()},
	}}
}

// checkItems refuses a request as a whole.
func checkItems(items []bulkItem) error {
	if len(items) == 0 {
		return hub.Errorf(hub.ArgumentNull, "the request names no device")
	}
	if len(items) > maxBulk {
		return hub.Errorf(hub.TooManyDevices, "a request may name %d devices, and this one names %d", maxBulk, len(items))
	}
	seen := make(map[hub.Identity]bool, len(items))
	for _, item := range items {
		if seen[item.identity()] {
			return hub.Errorf(hub.DefinedTwice, "DeviceDefinedMultipleTimes, device ID %s", shown(item.identity()))
		}
		seen[item.identity()] = true
	}
	return nil
}

// failed says what went wrong with one item.
func failed(id hub.Identity, operation string, err error) bulkError {
	id = shown(id)
	return bulkError{id.Device, id.Module, hub.CodeOf(err).Name(), short(err), clip(operation)}
}

// shown is an id as it is sent back: whole, if it can be one, for by it the caller
// knows which item it is.
func shown(id hub.Identity) hub.Identity {
	if !hub.ValidID(id.Device) {
		id.Device = clip(id.Device)
	}
	if !hub.ValidID(id.Module) {
		id.Module = clip(id.Module)
	}
	return id
}

func short(err error) string {
	text := sentence(err)
	if len(text) > maxBulkError {
		text = strings.ToValidUTF8(text[:maxBulkError], "") + "…"
	}
	return text
}

// mode is what is done with an item.
type mode string

const (
	create          mode = "create"
	update          mode = "update"
	updateIf        mode = "updateifmatchetag"
	remove          mode = "delete"
	removeIf        mode = "deleteifmatchetag"
	updateTwin      mode = "updatetwin"
	updateTwinIf    mode = "updatetwinifmatchetag"
	createOrUpdate  mode = "createorupdate"
	createOrUpdate2 mode = "createorupdateifmatchetag"
)

// importItem does what an item asks for. warning says why a new device is
// without the twin that came with it.
func (s *Server) importItem(ctx context.Context, item *bulkItem, by string) (warning, err error) {
	etag := cmp.Or(item.ETag, "*")
	switch mode(strings.ToLower(item.ImportMode)) {
	case create:
		if _, err := s.Registry.Create(ctx, item.record()); err != nil {
			return nil, err
		}
		return s.beginTwin(ctx, item, by), nil
	case "", createOrUpdate:
		return s.createOrUpdate(ctx, item, "*", by)
	case createOrUpdate2:
		return s.createOrUpdate(ctx, item, etag, by)
	case update:
		return nil, s.overwrite(ctx, item, "*", by)
	case updateIf:
		return nil, s.overwrite(ctx, item, etag, by)
	case remove:
		return nil, s.Registry.Delete(ctx, item.identity(), "*")
	case removeIf:
		return nil, s.Registry.Delete(ctx, item.identity(), etag)
	case updateTwin:
		return nil, s.mergeTwin(ctx, item, "*", by)
	case updateTwinIf:
		return nil, s.mergeTwin(ctx, item, item.TwinETag, by)
	default:
		return nil, unknownMode(item.ImportMode)
	}
}

func unknownMode(text string) error {
	return hub.Errorf(hub.ArgumentInvalid, "there is no importMode %q: use create, update, updateIfMatchETag, delete, deleteIfMatchETag, updateTwin, updateTwinIfMatchETag, createOrUpdate or createOrUpdateIfMatchETag", clip(text))
}

func (s *Server) createOrUpdate(ctx context.Context, item *bulkItem, etag, by string) (warning, err error) {
	_, err = s.Registry.Create(ctx, item.record())
	switch code := hub.CodeOf(err); {
	case err == nil:
		return s.beginTwin(ctx, item, by), nil
	case code == hub.DeviceAlreadyExists, code == hub.ModuleAlreadyExists, code == hub.InvalidScope && s.exists(ctx, item.identity()):
		return nil, s.overwrite(ctx, item, etag, by)
	default:
		return nil, err
	}
}

// exists reports whether there is an identity. A new device needs a parent that is
// there, and one that has lost its parent may keep its scope.
func (s *Server) exists(ctx context.Context, id hub.Identity) bool {
	_, err := s.Registry.Get(ctx, id)
	return err == nil
}

// overwrite replaces an identity, and its twin if the item has one. An edge
// device keeps its scope, whether the item has it or not.
func (s *Server) overwrite(ctx context.Context, item *bulkItem, etag, by string) error {
	w, err := item.checked(s, by)
	if err != nil {
		return err
	}
	r := item.record()
	if r.Edge && r.Scope == "" {
		old, err := s.Registry.Get(ctx, r.ID)
		if err != nil {
			return err
		}
		r.Scope = old.Scope
	}
	if _, err := s.Registry.Update(ctx, r, etag); err != nil || !item.hasTwin() {
		return err
	}
	_, err = s.Twins.Replace(ctx, r.ID, w)
	return err
}

// updateIf is Registry.Update with an etag.
func (s *Server) updateIf(etag string) func(context.Context, identity.Record) (identity.Record, error) {
	return func(ctx context.Context, r identity.Record) (identity.Record, error) {
		return s.Registry.Update(ctx, r, etag)
	}
}
