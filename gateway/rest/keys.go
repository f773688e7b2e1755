package rest

import (
	"net/http"
	"strings"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// rotation is the answer to a request for new keys.
type rotation struct {
	PolicyKey string      `json:"policyKey"`
	Errors    []bulkError `json:"errors"`
	Rotated   []newKeys   `json:"rotatedKeys"`
}

type newKeys struct {
	ID           string `json:"id"`
	ModuleID     string `json:"moduleId,omitempty"`
	PrimaryKey   string `json:"primaryKey"`
	SecondaryKey string `json:"secondaryKey"`
}

// regenerateKeys answers POST /devices/keys/regenerate: 200 when all have new
// keys, 207 when some have, 400 when none has.
func (s *Server) regenerateKeys(c *call) (reply, error) {
	var asked struct {
		PolicyKey string     `json:"policyKey"`
		Devices   []bulkItem `json:"devices"`
	}
	if err := c.decode(maxBody, &asked); err != nil {
		return reply{}, err
	}
	which, err := keyChoice(asked.PolicyKey)
	if err != nil {
		return reply{}, err
	}
	if err := checkItems(asked.Devices); err != nil {
		return reply{}, err
	}
	out := rotation{PolicyKey: asked.PolicyKey, Errors: []bulkError{}, Rotated: []newKeys{}}
	for i := range asked.Devices {
		id := asked.Devices[i].identity()
		r, err := s.Registry.RegenerateKeys(c.ctx(), id, which)
		if err != nil {
			out.Errors = append(out.Errors, failed(id, "", err))
			continue
		}
		k := r.Authentication.SymmetricKey
		out.Rotated = append(out.Rotated, newKeys{id.Device, id.Module, k.PrimaryKey, k.SecondaryKey})
	}
	switch {
	case len(out.Errors) == 0:
		return reply{body: out}, nil
	case len(out.Rotated) > 0:
		return reply{status: http.StatusMultiStatus, body: out}, nil
	default:
		return partly(out, hub.BulkKeysFailed, http.StatusBadRequest), nil
	}
}

func keyChoice(text string) (identity.KeyChoice, error) {
	switch strings.ToLower(text) {
	case "primarykey":
		return identity.PrimaryKey, nil
	case "secondarykey":
		return identity.SecondaryKey, nil
	case "both":
		return identity.BothKeys, nil
	default:
		return "", hub.Errorf(hub.ArgumentInvalid, "policyKey is primaryKey, secondaryKey or both")
	}
}
