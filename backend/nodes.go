package backend

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// Nodes is this node among those of its hub. It says again and again that it
// lives, in the bucket hub_nodes; it sees who does not say so any more; and it
// repairs what the dead have left. The protocol is in docs/cluster.md. It is safe
// for concurrent use.
//
// A node that has not joined, such as a program that only uses the stores, owns
// its sessions as if it never died.
type Nodes struct {
	bucket  *bucket
	names   subject.Names
	nc      *nats.Conn
	node    string
	version string
	log     zerolog.Logger
	timing  nodeTiming
	member  Member
	repair  *repair
	census  census

	lateWrites lateWrites

	beating sync.Mutex // held by who writes the key of this node

	mu       sync.Mutex
	joined   bool
	before   []string // the instances of this node that this process was, or knows to repair
	fenced   bool     // this instance was taken for dead
	known    bool     // a beat of this instance was stored
	record   NodeRecord
	revision uint64
	last     time.Time // when the last beat that was stored began

	again chan struct{} // there is something of this node to repair
	stop  context.CancelFunc
	wg    sync.WaitGroup
}

// Member is what the node does when others ask or judge.
type Member interface {
	// Report tells how the node is. It does not wait.
	Report() NodeReport
	// Fenced says that other nodes have taken this one for dead: whatever its
	// connections owned, they own no more, and have to end. It returns when they are
	// told to.
	Fenced()
	// Usurped says that another process runs under the name of this one, which has
	// to stop.
	Usurped(err error)
}

// nodeTiming is how long things take. See [Config.NodeTimeout].
type nodeTiming struct {
	beat    time.Duration // between two beats
	timeout time.Duration // without one, until a node counts as dead
}

// late is after how long nothing is on its way any more that a dead node has sent.
func (t nodeTiming) late() time.Duration { return t.timeout + t.timeout/2 }

func timingOfNodes(timeout time.Duration) nodeTiming { return nodeTiming{timeout / 5, timeout} }

const (
	defaultNodeTimeout = 10 * time.Second
	maxNodesBytes      = 16 << 20
	// aliveTimeout is how long a process has to say that it runs under a name.
	aliveTimeout = time.Second
)

// nodesBucket is the bucket of nodes.
func (c Config) nodesBucket() asset {
	return c.bucket(c.names().NodesBucket(), "the nodes of the hub, and that they live", maxNodesBytes)
}

// Nodes is this node among those of its hub.
func (b *Backbone) Nodes() *Nodes { return b.nodes }

// current is the instance that claims belong to; "" before Join.
func (n *Nodes) current() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.record.Instance
}

// claims is the instance that a claim belongs to. It fails before the others know
// of the instance: if it died then, nobody would find what it has claimed.
func (n *Nodes) claims() (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.joined && (n.fenced || !n.known) {
		return "", errFenced()
	}
	return n.record.Instance, nil
}

// errFenced is why a node lets nobody in for a moment.
func errFenced() error {
	return hub.Errorf(hub.ServiceUnavailable, "the other nodes took this one for dead; it is joining them again")
}

// confirm reports, as ServiceUnavailable, that an instance of this node may have
// been taken for dead before now: what it has just written may not be seen by
// who repairs. It beats once more when its last beat is not fresh.
func (n *Nodes) confirm(ctx context.Context, instance string) error {
	if fresh, err := n.isFresh(instance); fresh || err != nil {
		return err
	}
	if err := n.beat(ctx); err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "this node can't tell the others that it lives: %w", err)
	}
	_, err := n.isFresh(instance)
	return err
}

func (n *Nodes) isFresh(instance string) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case !n.joined:
		return true, nil
	case n.fenced, n.record.Instance != instance:
		return false, errFenced()
	default:
		return since(n.last) < n.timing.timeout/2, nil
	}
}

// since is how long ago t was, by the clock that shows more: a machine that
// slept may have stopped one, and an operator may set the other.
func since(t time.Time) time.Duration {
	return max(time.Since(t), time.Now().Round(0).Sub(t.Round(0)))
}

// Join makes this process the node of its name, and begins to beat, to watch
// and to repair what is left of an earlier run. It fails when another process
// runs under the name.
func (n *Nodes) Join(ctx context.Context, m Member) error {
	if n.node == "" {
		return errors.New("a node needs a name")
	}
	n.member = m
	var before NodeRecord
	var revision uint64
	err := untilPassed(ctx, func() (err error) {
		before, revision, err = n.look(ctx, n.node)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for the node %s: %w", n.node, err)
	}
	if before.State == NodeUp && n.answers(ctx) {
		return fmt.Errorf("another process runs as the node %q of this hub: give each node a name of its own (node, HUBGATE_NODE)", n.node)
	}
	alive, err := n.nc.Subscribe(n.names.NodeAlive(n.node), func(m *nats.Msg) { _ = m.Respond([]byte(n.current())) })
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", n.names.NodeAlive(n.node), err)
	}
	n.enter(NodeRecord{Earlier: before.left(), LastSeen: before.LastSeen}, revision)
	err = untilPassed(ctx, func() error {
		err := n.beat(ctx)
		for errors.Is(err, errOvertaken) || errors.Is(err, errUnheard) {
			err = n.beat(ctx)
		}
		return err
	})
	if err != nil {
		_ = alive.Unsubscribe()
		return fmt.Errorf("enter the node %s: %w", n.node, err)
	}
	background, stop := context.WithCancel(context.Background())
	n.stop = func() {
		_ = alive.Unsubscribe()
		stop()
	}
	n.wg.Go(func() { n.beatLoop(background) })
	n.wg.Go(func() { n.watch(background) })
	n.wg.Go(func() { n.repairSelf(background) })
	return nil
}

// joinPatience is how long a node that joins waits while the bucket of nodes has no
// leader, although it was there a moment before.
const joinPatience = 30 * time.Second

// untilPassed calls f again as long as it fails with what passes by itself, for
// joinPatience.
func untilPassed(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, joinPatience)
	defer cancel()
	for n := 1; ; n++ {
		if err := f(); !Passing(err) || !wait(ctx, backoff(n)) {
			return err
		}
	}
}

// look reads the record of a node; LastSeen is when it was written.
func (n *Nodes) look(ctx context.Context, node string) (NodeRecord, uint64, error) {
	m, err := n.bucket.current(ctx, subject.EncodeToken(node))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return NodeRecord{}, 0, nil
	}
	if err != nil {
		return NodeRecord{}, 0, err
	}
	r, _ := parseNode(m.Data)
	if r.LastSeen.IsZero() {
		r.LastSeen = m.Time
	}
	return r, m.Sequence, nil
}

// answers reports whether a process says that it runs under this node's name. One
// that has ended does not hear; one that stands still does not answer.
func (n *Nodes) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	_, err := n.nc.RequestWithContext(ctx, n.names.NodeAlive(n.node), nil)
	return err == nil
}

// enter begins a new instance in place of what has a revision.
func (n *Nodes) enter(r NodeRecord, revision uint64) {
	r.Node, r.Instance, r.State, r.Version = n.node, rand.Text(), NodeUp, n.version
	r.Started = time.Now().UTC()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.before = appendNew(n.before, append(r.Earlier, n.record.Instance)...)
	n.joined, n.fenced, n.known, n.record, n.revision = true, false, false, r, revision
}

// appendNew appends what all has not.
func appendNew(all []string, more ...string) []string {
	for _, s := range more {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// leave stops beating. A node that has nothing left to do says that it has stopped: its
// sessions have told their ends. Otherwise the others find it dead, and repair.
func (n *Nodes) leave(ctx context.Context, left error) {
	if n.stop == nil {
		return
	}
	n.stop()
	n.wg.Wait()
	n.mu.Lock()
	record, revision, fenced := n.record, n.revision, n.fenced
	n.mu.Unlock()
	if left != nil || fenced || len(record.Earlier) > 0 {
		n.log.Warn().Err(left).Bool("fenced", fenced).Strs("unrepaired", record.Earlier).Msg("this node leaves something undone; another one finds it dead and does it")
		return
	}
	record.State, record.NodeReport = NodeStopped, NodeReport{Ports: record.Ports}
	if _, err := n.put(ctx, record, revision, stoppedAge); err != nil {
		n.log.Warn().Err(err).Msg("this node could not say that it has stopped; the others will find it dead, and nothing to repair")
	}
}

const (
	stoppedAge  = 24 * time.Hour // how long the record of a node that has stopped is kept
	repairedAge = time.Hour      // and of one that has died
)

// put writes the record of a node in place of a revision, for a time; 0: for ever.
func (n *Nodes) put(ctx context.Context, r NodeRecord, revision uint64, age time.Duration) (uint64, error) {
	value, err := n.encode(r)
	if err != nil {
		return 0, err
	}
	m := nats.NewMsg(n.bucket.putSubject(subject.EncodeToken(r.Node)))
	m.Data = value
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	opts := []jetstream.PublishOpt{jetstream.WithExpectLastSequencePerSubject(revision)}
	if age > 0 {
		opts = append(opts, jetstream.WithMsgTTL(age))
	}
	ack, err := n.bucket.js.PublishMsg(ctx, m, opts...)
	if err != nil {
		return 0, n.bucket.fault("write", r.Node, err)
	}
	return ack.Sequence, nil
}

func (n *Nodes) encode(r NodeRecord) ([]byte, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return nil, hub.Errorf(hub.ServerError, "write the record of the node %s as JSON: %w", r.Node, err)
	}
	return value, nil
}
