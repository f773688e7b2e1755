package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
)

const (
	assetTimeout = 10 * time.Second // of one request to JetStream
	// Messages carry no Nats-Msg-Id, so the window is the least that JetStream
	// allows.
	duplicateWindow = 100 * time.Millisecond
	minBytes        = 2 << 20 // a default is not made smaller than this
	// Deleted keys leave a marker for those who watch; it goes after this.
	markerAge = 24 * time.Hour

	maxDeviceBytes   = 2 << 30
	maxPresenceBytes = 2 << 30
	maxPolicyBytes   = 16 << 20
	// As many authorities as there can be, each with a certificate of 16 KiB.
	maxAuthorityBytes = 16 << 20
	maxCommandBytes   = 256 << 20
	maxRecordBytes    = 64 << 10
	// A command with its payload, or with its result, as base64 in JSON.
	maxCommandRecord = 256 << 10
)

// asset is a stream, or the stream behind a bucket, as the hub wants it.
type asset struct {
	what string // for messages: "stream HUB_TELEMETRY"
	flag string // what changes its size, empty: nothing does
	want jetstream.StreamConfig
	// fixed has what the operator asked for; the rest of want is a default.
	fixed    Limits
	depth    int64 // of a queue, if the operator asked for one
	replicas int
}

// assets lists all of them. Policies, without which nobody connects, come first
// where there is little room.
func (c Config) assets() []asset {
	n := c.names()
	first := append([]asset{
		c.bucket(n.PolicyBucket(), "shared access policies", maxPolicyBytes),
		c.bucket(n.AuthorityBucket(), "certificate authorities that vouch for devices", maxAuthorityBytes),
	}, c.shardAssets()...)
	return slices.Concat(first, []asset{
		c.bucket(n.DeviceBucket(), "identities of devices and modules", maxDeviceBytes),
		c.bucket(n.PresenceBucket(), "sessions and who owns them", maxPresenceBytes),
		c.nodesBucket(),
		c.willBucket(),
		c.twinBucket(),
		c.stream(n.EventsStream(), n.EventsAll(), c.Events, defaultEventsBytes),
		c.commands(n.CommandBucket()),
	}, c.c2dAssets(), c.timelineAssets(), []asset{c.credentialBucket(), c.configurationBucket()}, c.jobAssets())
}

func (c Config) stream(name, subjects string, l Limits, bytes int64) asset {
	want := jetstream.StreamConfig{
		Name:         name,
		Subjects:     []string{subjects},
		Retention:    jetstream.LimitsPolicy,
		Discard:      jetstream.DiscardOld,
		Storage:      jetstream.FileStorage,
		MaxAge:       defaultMaxAge,
		MaxBytes:     bytes,
		MaxMsgs:      -1,
		MaxMsgSize:   -1,
		MaxConsumers: -1,
		Replicas:     max(c.Replicas, 1),
		Placement:    c.Placement.Stream(),
		Duplicates:   duplicateWindow,
		AllowDirect:  true,

		MaxMsgsPerSubject: -1,
	}
	if l.MaxAge > 0 {
		want.MaxAge = l.MaxAge
	}
	if l.MaxBytes > 0 {
		want.MaxBytes = l.MaxBytes
	}
	return asset{what: "stream " + name, flag: "the size limit of " + name, want: want, fixed: l, replicas: c.Replicas}
}

// bucket is the stream of a key-value bucket, as nats.go lays it out, with
// limit markers.
func (c Config) bucket(name, description string, bytes int64) asset {
	return asset{what: "bucket " + name, replicas: c.Replicas, want: jetstream.StreamConfig{
		Name:                   "KV_" + name,
		Description:            description,
		Subjects:               []string{"$KV." + name + ".>"},
		Retention:              jetstream.LimitsPolicy,
		Discard:                jetstream.DiscardNew,
		Storage:                jetstream.FileStorage,
		MaxBytes:               bytes,
		MaxMsgs:                -1,
		MaxMsgsPerSubject:      1,
		MaxMsgSize:             maxRecordBytes,
		MaxConsumers:           -1,
		Replicas:               max(c.Replicas, 1),
		Placement:              c.Placement.Stream(),
		Duplicates:             duplicateWindow,
		AllowRollup:            true,
		DenyDelete:             true,
		AllowDirect:            true,
		AllowMsgTTL:            true,
		SubjectDeleteMarkerTTL: markerAge,
	}}
}

// commands is the bucket of commands, whose values are larger.
func (c Config) commands(name string) asset {
	a := c.bucket(name, "direct methods that wait for their devices", maxCommandBytes)
	a.want.MaxMsgSize = maxCommandRecord
	return a
}

// keeper makes and checks assets.
type keeper struct {
	js       jetstream.JetStream
	names    subject.Names
	faults   *faults
	log      zerolog.Logger
	upgrades []upgrade
}

// ensureAll ensures assets in their order.
func (k keeper) ensureAll(ctx context.Context, assets []asset) error {
	var unused empties
	version, compatible := k.layout()
	for _, a := range assets {
		a.want.Metadata = stamped(a.want.Metadata, version, compatible)
		if err := k.ensure(ctx, a, &unused); err != nil {
			return err
		}
	}
	unused.tell(k)
	return nil
}

// ensure makes a if it is missing, and otherwise checks that it keeps the
// hub's promises, changing what can be changed.
func (k keeper) ensure(ctx context.Context, a asset, unused *empties) error {
	ctx, cancel := context.WithTimeout(ctx, assetTimeout)
	defer cancel()
	k.faults.watch(cancel)
	defer k.faults.watch(nil)
	s, err := k.js.Stream(ctx, a.want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = k.create(ctx, &a, unused)
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return k.explain("create", a, err)
		}
		s, err = k.js.Stream(ctx, a.want.Name) // another node was faster
	}
	if err != nil {
		return k.explain("look up", a, err)
	}
	unused.found(k, a, s.CachedInfo())
	return k.reconcile(ctx, a, s.CachedInfo().Config)
}

// create makes the stream of a, smaller than it should be where JetStream has no
// room for that; then a is what was tried last.
func (k keeper) create(ctx context.Context, a *asset, unused *empties) error {
	usual := a.want.MaxBytes
	for {
		_, err := k.js.CreateStream(ctx, a.want)
		if err == nil {
			k.log.Info().Str("stream", a.want.Name).Int64("max_bytes", a.want.MaxBytes).Msg("stream is made")
			unused.made(*a, usual)
			return nil
		}
		if !noRoom(err) {
			return err
		}
		more, failed := k.makeRoom(ctx, a, *unused, err)
		if failed != nil || !more {
			return cmp.Or(failed, err)
		}
	}
}

// reconcile changes an existing stream where it does not do what a needs.
func (k keeper) reconcile(ctx context.Context, a asset, have jetstream.StreamConfig) error {
	if err := a.unfit(have); err != nil {
		return err
	}
	known, _ := k.layout()
	if err := a.tooNew(have.Metadata, known); err != nil {
		return err
	}
	if version, _ := layoutOf(have.Metadata); version > known {
		return nil // it suits us, and a newer node knows better how it has to be
	}
	have, err := k.upgrade(ctx, a, have)
	if err != nil {
		return err
	}
	next := a.merge(have)
	if err := k.spareDeep(ctx, have, &next); err != nil {
		return k.explain("look up", a, err)
	}
	if reflect.DeepEqual(next, have) {
		return nil
	}
	_, err = k.js.UpdateStream(ctx, next)
	if err == nil {
		k.log.Info().Str("stream", next.Name).Msg("stream is changed to the configuration")
	}
	return k.explain("change", a, err)
}

// unfit names what is wrong with an existing stream that no change can mend.
func (a asset) unfit(have jetstream.StreamConfig) error {
	const hint = "; rename or remove it (its messages go with it), or choose another prefix"
	switch {
	case have.Storage != jetstream.FileStorage:
		return fmt.Errorf("%s keeps its messages in memory, so that none of them survives a restart%s", a.what, hint)
	case have.Retention != jetstream.LimitsPolicy:
		return fmt.Errorf("%s has %v retention: messages would go before every reader has seen them%s", a.what, have.Retention, hint)
	case have.Mirror != nil:
		return fmt.Errorf("%s is a mirror of %s, which nobody can write to%s", a.what, have.Mirror.Name, hint)
	case have.Sealed:
		return fmt.Errorf("%s is sealed: nobody can write to it%s", a.what, hint)
	default:
		return nil
	}
}

// merge is have with what a needs. What an operator has set stays, unless the
// configuration names a value or nothing would bound the stream.
func (a asset) merge(have jetstream.StreamConfig) jetstream.StreamConfig {
	next := have
	for _, s := range a.want.Subjects {
		if !slices.Contains(have.Subjects, s) {
			next.Subjects = append(slices.Clone(next.Subjects), s)
		}
	}
	next.NoAck = false
	next.AllowDirect = true
	next.Duplicates = a.want.Duplicates
	if a.replicas > 0 {
		next.Replicas = a.replicas
	}
	if a.want.Placement != nil {
		next.Placement = a.want.Placement
	}
	if a.fixed.MaxAge > 0 {
		next.MaxAge = a.fixed.MaxAge
	}
	if a.fixed.MaxBytes > 0 || have.MaxBytes <= 0 {
		next.MaxBytes = a.want.MaxBytes
	}
	if a.isBucket() {
		next.MaxMsgsPerSubject = max(have.MaxMsgsPerSubject, 1)
		next.AllowRollup = true
		next.AllowMsgTTL = true
		if next.SubjectDeleteMarkerTTL == 0 {
			next.SubjectDeleteMarkerTTL = a.want.SubjectDeleteMarkerTTL
		}
	}
	a.mergeQueue(&next)
	return next
}

func (a asset) isBucket() bool { return strings.HasPrefix(a.want.Name, "KV_") }
