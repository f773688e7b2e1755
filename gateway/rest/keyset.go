package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
)

// KeySet is the public keys of an issuer, read from where he publishes them, and
// again at times. What was read last counts until something better comes. Set
// the fields before use.
type KeySet struct {
	URL     string        // of the JSON Web Key Set
	File    string        // in place of URL
	Refresh time.Duration // how often it is read again. 0: an hour
	Client  *http.Client  // nil: one with the system's authorities
	Log     zerolog.Logger

	keys   atomic.Pointer[keyfunc.Keyfunc]
	wanted chan struct{} // somebody came with a key that is not known
	start  sync.Once

	mu   sync.Mutex
	next chan struct{} // closed when the keys have been read again; nil: not for a while
}

const (
	defaultRefresh = time.Hour
	minRefresh     = time.Minute // also for keys that are not known
	fetchTimeout   = 10 * time.Second
	maxKeySet      = 1 << 20
	mostKeys       = 1000
	mostRedirects  = 5
	keyWait        = 3 * time.Second // for keys that are read because of a token
)

var (
	errNoKeys     = errors.New("no keys")
	errUnknownKey = errors.New("a key that is not known")
	errCritical   = errors.New("critical extensions")
)

func (k *KeySet) init() {
	k.start.Do(func() {
		k.wanted = make(chan struct{}, 1)
		if k.Refresh <= 0 {
			k.Refresh = defaultRefresh
		}
		k.Refresh = max(k.Refresh, minRefresh)
		if k.Client == nil {
			k.Client = &http.Client{Timeout: fetchTimeout}
		}
		client := *k.Client
		client.CheckRedirect = checkRedirect
		k.Client = &client
	})
}

// checkRedirect lets nobody lead away from https, where others could give the keys.
// Without https is an issuer on this machine, who may redirect to himself.
func checkRedirect(next *http.Request, via []*http.Request) error {
	to, first := next.URL, via[0].URL
	isSame := to.Scheme == first.Scheme && to.Hostname() == first.Hostname()
	switch {
	case len(via) > mostRedirects:
		return fmt.Errorf("it redirects more than %d times", mostRedirects)
	case to.Scheme != "https" && !isSame:
		return fmt.Errorf("it redirects to %s://%s: the keys come by https alone", to.Scheme, to.Host)
	}
	return nil
}

// Run reads the keys now, at times, and when a token has a key that is not known,
// until ctx ends.
func (k *KeySet) Run(ctx context.Context) {
	k.init()
	for {
		if err := k.Load(ctx); err != nil && ctx.Err() == nil {
			k.Log.Error().Err(err).Bool("has_keys", k.keys.Load() != nil).Msg("the keys of the issuer of bearer tokens could not be read; those that there are go on to count")
		}
		k.setNext(nil)
		if !k.pause(ctx) {
			return
		}
	}
}

// pause waits for the next time. Unknown keys don't make it shorter than
// minRefresh: anybody can invent them.
func (k *KeySet) pause(ctx context.Context) bool {
	soon, late := time.NewTimer(minRefresh), time.NewTimer(k.Refresh)
	defer soon.Stop()
	defer late.Stop()
	if k.keys.Load() != nil {
		select {
		case <-soon.C:
		case <-ctx.Done():
			return false
		}
	} else { // nobody can come in: try again soon
		late.Reset(fetchTimeout)
	}
	k.setNext(make(chan struct{}))
	select {
	case <-k.wanted:
	case <-late.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// setNext lets those go on who have waited for the keys; next is for those to come.
func (k *KeySet) setNext(next chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next != nil {
		close(k.next)
	}
	k.next = next
}

// want has the keys read again as soon as may be.
func (k *KeySet) want() {
	k.init()
	select {
	case k.wanted <- struct{}{}:
	default:
	}
}

// upcoming is closed when the keys have been read the next time, for a token whose key
// is not among them, as of an issuer who has a new one. It is nil when they were read
// less than minRefresh ago.
func (k *KeySet) upcoming() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.next
}

// isOver waits for what upcoming returns, and not for long: whoever invents a key waits
// here too.
func isOver(ctx context.Context, upcoming <-chan struct{}) bool {
	if upcoming == nil {
		return false
	}
	late := time.NewTimer(keyWait)
	defer late.Stop()
	select {
	case <-upcoming:
		return true
	case <-late.C:
	case <-ctx.Done():
	}
	return false
}

// Load reads the keys once. On an error the old ones stay.
func (k *KeySet) Load(ctx context.Context) error {
	k.init()
	text, err := k.fetch(ctx)
	if err != nil {
		return fmt.Errorf("read the key set: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil || len(set.Keys) == 0 || len(set.Keys) > mostKeys {
		return fmt.Errorf("what is there is no JSON Web Key Set of 1 to %d keys", mostKeys)
	}
	keys, err := k.usable(set.Keys)
	if err != nil {
		return fmt.Errorf("use the key set: %w", err)
	}
	k.keys.Store(&keys)
	return nil
}

// usable is the keys that can be used here. The others are passed over, as RFC 7517
// has it: an issuer publishes keys of other kinds too, for what else he does.
func (k *KeySet) usable(all []json.RawMessage) (keyfunc.Keyfunc, error) {
	var good []json.RawMessage
	var last error
	for _, key := range all {
		if _, err := keysOf(key); err != nil {
			last = err
			continue
		}
		good = append(good, key)
	}
	if len(good) == 0 {
		return nil, last
	}
	if last != nil {
		k.Log.Info().Int("passed_over", len(all)-len(good)).Int("keys", len(good)).AnErr("last", last).Msg("some keys of the issuer of bearer tokens are of no kind that is used here")
	}
	return keysOf(good...)
}

func keysOf(all ...json.RawMessage) (keyfunc.Keyfunc, error) {
	text, err := json.Marshal(map[string]any{"keys": all})
	if err != nil {
		return nil, err
	}
	return keyfunc.NewJWKSetJSON(text)
}

func (k *KeySet) fetch(ctx context.Context) ([]byte, error) {
	if k.File != "" {
		return os.ReadFile(k.File)
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.URL, nil)
	if err != nil {
		return nil, err
	}
	res, err := k.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", k.URL, res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	if err == nil && len(text) > maxKeySet {
		err = fmt.Errorf("more than %d bytes come from %s", maxKeySet, k.URL)
	}
	return text, err
}

// key is a [jwt.Keyfunc]. It looks for extensions that have to be understood too, which
// package jwt passes over.
func (k *KeySet) key(token *jwt.Token) (any, error) {
	if _, has := token.Header["crit"]; has {
		return nil, errCritical
	}
	keys := k.keys.Load()
	if keys == nil {
		return nil, errNoKeys
	}
	key, err := (*keys).Keyfunc(token)
	if err != nil {
		k.want()
		return nil, fmt.Errorf("%w: %w", errUnknownKey, err)
	}
	return key, nil
}
