package simulate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

const (
	apiVersion  = "2021-04-12"
	bulkMost    = 100 // devices of one request
	answerMost  = 4 << 20
	tokenLife   = time.Hour
	requestMost = 2 * time.Minute
)

// OverREST is the registry of a hub whose service REST API can be reached.
type OverREST struct {
	host, policy string
	key          []byte
	http         *http.Client
}

// NewOverREST uses a service connection string. address is where the API is,
// or empty: the host name at port 443; target has the authorities to trust.
func NewOverREST(text, address string, target *Target) (*OverREST, error) {
	c, err := sas.ParseConnectionString(text)
	if err != nil {
		return nil, err
	}
	if c.SharedAccessKeyName == "" || c.SharedAccessKey == "" {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the connection string is not that of a service: it needs SharedAccessKeyName and SharedAccessKey of a policy that may write the registry")
	}
	key, err := sas.DecodeKey(c.SharedAccessKey)
	if err != nil {
		return nil, err
	}
	address = cmp.Or(address, net.JoinHostPort(c.HostName, "443"))
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		TLSClientConfig: target.TLS.Clone(), MaxIdleConnsPerHost: workers,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
	}
	return &OverREST{host: c.HostName, policy: c.SharedAccessKeyName, key: key, http: &http.Client{Transport: transport, Timeout: requestMost}}, nil
}

// bulkItem is a device in a request for many.
type bulkItem struct {
	ID           string          `json:"id"`
	ImportMode   string          `json:"importMode"`
	Status       identity.Status `json:"status,omitempty"`
	StatusReason string          `json:"statusReason,omitempty"`
	Auth         *bulkAuth       `json:"authentication,omitempty"`
}

type bulkAuth struct {
	Type         string   `json:"type"`
	SymmetricKey bulkKeys `json:"symmetricKey"`
}

type bulkKeys struct {
	Primary   string `json:"primaryKey"`
	Secondary string `json:"secondaryKey"`
}

// bulkAnswer is what the hub says to it.
type bulkAnswer struct {
	Successful bool `json:"isSuccessful"`
	Errors     []struct {
		DeviceID string `json:"deviceId"`
		Code     any    `json:"errorCode"` // Azure has numbers here
		Status   string `json:"errorStatus"`
	} `json:"errors"`
}

// failures are the devices with which it did not go well, each with the reason.
func (a *bulkAnswer) failures() map[string]string {
	all := map[string]string{}
	for _, e := range a.Errors {
		all[e.DeviceID] = fmt.Sprintf("%v: %s", e.Code, e.Status)
	}
	return all
}

// Make implements [Registry].
func (o *OverREST) Make(ctx context.Context, ids []string, told func(done int)) ([]Account, error) {
	accounts := make([]Account, len(ids))
	err := o.chunks(ctx, ids, told, func(ctx context.Context, from int, part []string) error {
		items := make([]bulkItem, len(part))
		for i, id := range part {
			keys := bulkKeys{hub.NewKey(), hub.NewKey()}
			items[i] = bulkItem{id, "create", identity.StatusEnabled, Mark, &bulkAuth{"sas", keys}}
			key, err := hub.DecodeKey(keys.Primary)
			if err != nil {
				return err
			}
			accounts[from+i] = Account{id, key}
		}
		failed, err := o.bulk(ctx, items)
		if err != nil {
			return err
		}
		for id := range failed { // it is there already, or can't be made
			account, err := o.find(ctx, id, failed[id])
			if err != nil {
				return err
			}
			accounts[from+slices.Index(part, id)] = account
		}
		return nil
	})
	return accounts, err
}

// find returns a device that could not be made because of reason.
func (o *OverREST) find(ctx context.Context, id, reason string) (Account, error) {
	var r identity.Record
	status, err := o.do(ctx, http.MethodGet, "/devices/"+url.PathEscape(id), nil, &r)
	if err != nil {
		return Account{}, err
	}
	if status != http.StatusOK {
		return Account{}, fmt.Errorf("make the device %s: %s", id, reason)
	}
	return accountOf(&r)
}

// Remove implements [Registry].
func (o *OverREST) Remove(ctx context.Context, ids []string, told func(done int)) error {
	return o.chunks(ctx, ids, told, func(ctx context.Context, _ int, part []string) error {
		items := make([]bulkItem, len(part))
		for i, id := range part {
			items[i] = bulkItem{ID: id, ImportMode: "delete"}
		}
		failed, err := o.bulk(ctx, items)
		if err != nil {
			return err
		}
		for id, reason := range failed {
			var r identity.Record
			if status, err := o.do(ctx, http.MethodGet, "/devices/"+url.PathEscape(id), nil, &r); err != nil || status != http.StatusNotFound {
				return cmp.Or(err, fmt.Errorf("delete the device %s: %s", id, reason))
			}
		}
		return nil
	})
}

// chunks calls f for as many devices at a time as a request may name.
func (o *OverREST) chunks(ctx context.Context, ids []string, told func(done int), f func(ctx context.Context, from int, part []string) error) error {
	n := (len(ids) + bulkMost - 1) / bulkMost
	return each(ctx, n, func(done int) { told(min(done*bulkMost, len(ids))) }, func(ctx context.Context, i int) error {
		return f(ctx, i*bulkMost, ids[i*bulkMost:min((i+1)*bulkMost, len(ids))])
	})
}

// bulk makes a request for many and returns those that failed.
func (o *OverREST) bulk(ctx context.Context, items []bulkItem) (failed map[string]string, err error) {
	body, err := json.Marshal(items)
	if err != nil {
		return nil, err
	}
	var a bulkAnswer
	status, err := o.do(ctx, http.MethodPost, "/devices", body, &a)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK && len(a.Errors) == 0 {
		return nil, o.refused(status)
	}
	return a.failures(), nil
}

func (o *OverREST) refused(status int) error {
	code := hub.ServiceUnavailable
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		code = hub.Unauthorized
	}
	return hub.Errorf(code, "the REST API of %s answers with %d: is the key of the policy %s right, and may it write the registry?", o.host, status, o.policy)
}

// do makes a request. Only the body of an answer of success, or of one that
// tells what of it failed, is decoded.
func (o *OverREST) do(ctx context.Context, verb, path string, body []byte, v any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, verb, "https://"+o.host+path+"?api-version="+apiVersion, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", sas.Sign(o.host, o.key, time.Now().Add(tokenLife), o.policy))
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := o.http.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask the REST API: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerMost))
	if err != nil {
		return 0, fmt.Errorf("ask the REST API: %w", err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusBadRequest {
		if err := json.Unmarshal(text, v); err != nil {
			return 0, fmt.Errorf("read the answer of the REST API to %s %s: %w", verb, path, err)
		}
	}
	return resp.StatusCode, nil
}
