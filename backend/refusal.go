package backend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// JetStream's error codes that nats.go has no name for; they are in
// nats-server's errors.json.
const (
	errStoreFull        = 10077 // maximum bytes exceeded
	errAccountResources = 10002 // resource limits exceeded for account
	errNoPeers          = 10005 // no suitable peers for placement
	errServerResources  = 10023 // insufficient resources
	errMaxStreams       = 10027 // maximum number of streams reached
	errStorageResources = 10047 // insufficient storage resources available
	errReplicasSingle   = 10074 // replicas > 1 not supported in non-clustered mode
	errStreamConfig     = 10052 // invalid stream configuration
	errSubjectOverlap   = 10065 // subjects overlap with an existing stream
	errMaxBytesRequired = 10113 // account requires a max bytes
	errNoTier           = 10120 // no default or applicable tiered limit
	errMaxStreamBytes   = 10122 // stream max bytes exceeds account limit max stream bytes
)

// noRoom reports that JetStream refused a stream for its size.
func noRoom(err error) bool {
	switch apiCode(err) {
	case errAccountResources, errServerResources, errStorageResources, errMaxStreamBytes:
		return true
	case errNoPeers: // of a cluster, for several reasons
		return strings.Contains(err.Error(), "insufficient storage")
	default:
		return false
	}
}

func apiCode(err error) jetstream.ErrorCode {
	if e, ok := errors.AsType[jetstream.JetStreamError](err); ok && e.APIError() != nil {
		return e.APIError().ErrorCode
	}
	return 0
}

// explain turns a failure to verb an asset into a sentence that says which
// right or limit the account lacks. nil stays nil.
func (k keeper) explain(verb string, a asset, err error) error {
	if err == nil {
		return nil
	}
	if hint := k.hint(a, err); hint != "" {
		return fmt.Errorf("%s %s: %s: %w", verb, a.what, hint, err)
	}
	return fmt.Errorf("%s %s: %w", verb, a.what, err)
}

func (k keeper) hint(a asset, err error) string {
	if errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
		return "the account of these credentials has no JetStream; enable it for the account"
	}
	if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, nats.ErrNoResponders) {
		return "this NATS server has no JetStream; enable it, or set the domain if JetStream has one"
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, nats.ErrTimeout) {
		return k.silence()
	}
	if apiCode(err) == errNoPeers && noRoom(err) {
		return a.limit(errStorageResources)
	}
	return a.limit(apiCode(err))
}

// silence explains a request that nobody answered: NATS drops a request that
// the user has no right to make.
func (k keeper) silence() string {
	if denied := k.faults.take(); denied != "" {
		return "the user of these credentials lacks a right (" + denied + "); allow it"
	}
	return "JetStream did not answer in time; it may have no leader yet"
}

func (a asset) limit(code jetstream.ErrorCode) string {
	switch code {
	case errAccountResources:
		return fmt.Sprintf("the account's JetStream limit has no room for %d bytes; raise the limit or lower %s", a.want.MaxBytes, a.size())
	case errStorageResources, errServerResources:
		return fmt.Sprintf("JetStream has no room to reserve %d bytes; make room on its disk, raise the server's max_file_store (nats.max_store of the embedded one) or lower %s", a.want.MaxBytes, a.size())
	case errMaxStreamBytes:
		return fmt.Sprintf("the account allows no stream of %d bytes; raise its limit or lower %s", a.want.MaxBytes, a.size())
	case errNoTier:
		return fmt.Sprintf("the account has no limit for streams with %d replicas; give it one, or change nats.replicas", a.want.Replicas)
	case errMaxStreams:
		return "the account may have no more streams; raise its limit: hubgate check says how many the hub needs"
	case errNoPeers:
		if a.want.Placement != nil {
			return fmt.Sprintf("there are not enough NATS servers for %d replicas with %v; correct it, lower the number of replicas or add servers", a.want.Replicas, Placement(*a.want.Placement))
		}
		return a.limit(errReplicasSingle)
	case errReplicasSingle:
		return fmt.Sprintf("there are not enough NATS servers for %d replicas; lower the number of replicas or add servers", a.want.Replicas)
	case errSubjectOverlap:
		return fmt.Sprintf("another stream already takes %v; remove it or choose another prefix", a.want.Subjects)
	case errMaxBytesRequired, errStreamConfig:
		return "the account or an existing stream does not allow this configuration"
	default:
		return ""
	}
}

func (a asset) size() string {
	if a.flag == "" {
		return "the sizes of the other streams"
	}
	return a.flag
}
