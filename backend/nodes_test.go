package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/telemetry"
)

// soon is the node timeout of these tests.
const soon = time.Second

// peer is a node of a hub without devices: a Backbone that has joined.
type peer struct {
	*Backbone
	fenced  atomic.Int64
	usurped atomic.Bool
}

func (p *peer) Report() NodeReport { return NodeReport{Connections: 7} }
func (p *peer) Fenced()            { p.fenced.Add(1) }
func (p *peer) Usurped(error)      { p.usurped.Store(true) }

// join runs a node on s.
func join(t *testing.T, s *embedded.Server, name string) *peer {
	t.Helper()
	p := &peer{Backbone: open(t, s, Config{Node: name, NodeTimeout: soon})}
	if err := p.nodes.Join(testContext(t), p); err != nil {
		t.Fatalf("join %s: %v", name, err)
	}
	return p
}

// TestJoinWaits: the bucket of nodes has no leader when a node joins, and finds one.
func TestJoinWaits(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	p := &peer{Backbone: open(t, serve(t, "", 0), Config{Node: "a", NodeTimeout: soon})}
	name := "KV_" + p.names.NodesBucket()
	stream, err := p.js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	if err := p.js.DeleteStream(ctx, name); err != nil {
		t.Fatal(err)
	}
	asked := make(chan *nats.Msg, 100)
	if _, err := p.nc.ChanSubscribe("$JS.API.STREAM.MSG.GET."+name, asked); err != nil { // beside the server, which says no
		t.Fatal(err)
	}
	joined := make(chan error, 1)
	go func() { joined <- p.nodes.Join(ctx, p) }()
	<-asked
	if _, err := p.js.CreateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	if err := <-joined; err != nil {
		t.Error(err)
	}
}

// die ends a node as kill -9 does, as far as others can see: it says and does
// nothing any more.
func (p *peer) die() {
	p.nodes.stop()
	p.nodes.stop = nil
	p.nodes.wg.Wait()
	p.sessions.debts.stop()
	p.nc.Close()
}

// connects claims a device for a connection of p.
func (p *peer) connects(t *testing.T, dev, connection, will string) session.Session {
	t.Helper()
	v, _, err := p.sessions.Claim(testContext(t), p.wants(dev, connection, will))
	if err != nil {
		t.Fatalf("claim %s: %v", dev, err)
	}
	return v
}

// unheard is a claim whose node has died, or heard nothing, right after it was
// stored.
type unheard struct {
	session.Session
	told farewell
}

// claims does what connects does until the claim is stored, and no more.
func (p *peer) claims(t *testing.T, dev, connection, will string) unheard {
	t.Helper()
	next := p.wants(dev, connection, will)
	next.Instance = p.nodes.current()
	if next.Will != nil {
		var err error
		if next.WillID, err = p.sessions.wills.keep(testContext(t), next.ID, next.Instance, next.Will); err != nil {
			t.Fatal(err)
		}
	}
	v, _, f, err := p.sessions.claimOnce(testContext(t), next)
	if err != nil {
		t.Fatalf("claim %s: %v", dev, err)
	}
	return unheard{v, f}
}

// wants is the session of a connection of p that is to be.
func (p *peer) wants(dev, connection, will string) session.Session {
	v := session.Session{
		ID: hub.Identity{Device: dev}, Generation: "g1", Persistent: true, Connected: true, Node: p.cfg.Node, Connection: connection,
		Remote: "192.0.2.1:1", ConnectedTime: time.Now(),
	}
	if will != "" {
		v.Will = &session.Will{Headers: [][2]string{{telemetry.HeaderDeviceID, dev}, {"iothub-app-k", "%25"}}, Body: []byte(will)}
	}
	return v
}

// ends releases a session with a code.
func (p *peer) ends(t *testing.T, v *session.Session, code hub.Code) {
	t.Helper()
	v.DisconnectedTime, v.Code, v.Reason = time.Now(), code, "as the test asks"
	if err := p.sessions.Release(testContext(t), v); err != nil {
		t.Fatalf("release %s: %v", v.ID, err)
	}
}

// on returns the bodies of a subject's messages.
func (p *peer) on(t *testing.T, stream, subj string) []string {
	t.Helper()
	s, err := p.js.Stream(testContext(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for at := uint64(1); ; {
		m, err := s.GetMsg(testContext(t), at, jetstream.WithGetMsgSubject(subj))
		if err != nil {
			return all
		}
		all, at = append(all, string(m.Data)), m.Sequence+1
	}
}

func (p *peer) wills(t *testing.T, dev string) []string {
	t.Helper()
	return p.on(t, p.names.TelemetryStream(), p.names.Telemetry(hub.Identity{Device: dev}))
}

// told is the connection events of a device: epoch, and + for a begin or the code
// of an end.
func (p *peer) told(t *testing.T, dev string) string {
	t.Helper()
	var all []string
	for _, body := range p.on(t, p.names.EventsStream(), p.names.ConnectionEvent(hub.Identity{Device: dev})) {
		var e struct {
			Number string   `json:"sequenceNumber"`
			Code   hub.Code `json:"errorCode"`
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatal(err)
		}
		text := strings.TrimLeft(e.Number[:48], "0")
		if e.Number[63] == '0' {
			text += "+"
		} else {
			text += fmt.Sprintf("-%d", e.Code)
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func (p *peer) session(t *testing.T, dev string) session.Session {
	t.Helper()
	v, err := p.sessions.Get(testContext(t), hub.Identity{Device: dev})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (p *peer) record(t *testing.T, node string) NodeRecord {
	t.Helper()
	m, err := p.nodes.bucket.current(testContext(t), subject.EncodeToken(node))
	if err != nil {
		return NodeRecord{}
	}
	r, _ := parseNode(m.Data)
	return r
}

// TestDeadNodeIsRepaired: what a dead node had is told and sent by another, once,
// and what has gone elsewhere is left alone.
func TestDeadNodeIsRepaired(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b, c := join(t, s, "a"), join(t, s, "b"), join(t, s, "c")
	a.connects(t, "willing", "a1", "bye")
	silent := a.connects(t, "silent", "a2", "")
	a.connects(t, "moved", "a3", "gone to b")
	goodbye := a.connects(t, "goodbye", "a4", "not sent")
	a.ends(t, &goodbye, 0)
	moved := b.connects(t, "moved", "b1", "still here")
	a.die()
	until(t, "the node is repaired", func() bool { return b.record(t, "a").State == NodeRepaired })
	for _, dev := range []string{"willing", "silent"} {
		v := b.session(t, dev)
		if v.Connected || v.RepairedBy == "" || v.Code != hub.ServiceUnavailable || !strings.Contains(v.Reason, "node a ") {
			t.Errorf("session of %s: %+v", dev, v)
		}
		if got, want := b.told(t, dev), fmt.Sprintf("%X+ %X-503001", v.Epoch, v.Epoch); got != want {
			t.Errorf("told of %s: %s, want %s", dev, got, want)
		}
	}
	if v := b.session(t, "moved"); !v.Connected || v.Epoch != moved.Epoch || v.Node != "b" {
		t.Errorf("session of who has moved: %+v", v)
	}
	for dev, want := range map[string]string{"willing": "bye", "moved": "gone to b", "silent": "", "goodbye": ""} {
		until(t, "the will of "+dev, func() bool { return strings.Join(b.wills(t, dev), "|") == want })
	}
	if v := b.session(t, "willing"); len(v.Owed) != 0 || v.WillID != "" {
		t.Errorf("session of willing: %+v", v)
	}
	if n := b.fenced.Load() + c.fenced.Load(); n != 0 {
		t.Errorf("%d living nodes were fenced", n)
	}
	fails := a.sessions.Save(testContext(t), &silent)
	if fails == nil {
		t.Error("a dead node saves a session")
	}
	keys, err := b.sessions.wills.bucket.keys(testContext(t), ">")
	if err != nil || len(keys) != 1 || !strings.HasPrefix(keys[0], "b.") {
		t.Errorf("wills %q, %v; want that of b's connection", keys, err)
	}
}

// TestLateClaimOfADeadNode: a claim that was on its way when its node died is
// stored after the repair. Nobody was told of it, and it is ended too.
func TestLateClaimOfADeadNode(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := join(t, s, "a"), join(t, s, "b")
	a.connects(t, "d", "a1", "")
	instance := a.nodes.current()
	a.die()
	until(t, "the node is repaired", func() bool { return b.record(t, "a").State == NodeRepaired })
	b.storesLate(t, "late", "a", instance)
	until(t, "the late claim is ended", func() bool { return !b.session(t, "late").Connected })
}

// TestClaimThatNobodyLooksFor: who has repaired a node dies before it looks again. Late
// claims of the repaired one are ended by whoever reads them, and told.
func TestClaimThatNobodyLooksFor(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := join(t, s, "a"), join(t, s, "b")
	instance := a.nodes.current()
	a.die()
	until(t, "the node is repaired", func() bool { return b.record(t, "a").State == NodeRepaired })
	b.storesLate(t, "before", "a", instance)
	b.die()
	c := join(t, s, "c")
	c.storesLate(t, "after", "a", instance)
	for _, dev := range []string{"before", "after"} {
		until(t, "the late claim is ended", func() bool { return !c.session(t, dev).Connected })
		v := c.session(t, dev)
		until(t, "the end is told", func() bool { return c.told(t, dev) == fmt.Sprintf("%X+ %X-503001", v.Epoch, v.Epoch) })
	}
}

// TestLateWrites: what was written is late when its instance has been over for a time.
func TestLateWrites(t *testing.T) {
	t.Parallel()
	const patience = 3 * time.Second
	id := hub.Identity{Device: "d"}
	for name, tc := range map[string]struct {
		// what happens second by second: c: a claim is read, e: its end by its owner,
		// r: by a repair, l: an end of long ago, -: nothing; and how its instance stands
		// then: a: alive, o: over, u: unsettled.
		seen string
		want string // when it is due
	}{
		"of a dead one":                {"co -o -o -o -o -o", "    x "},
		"of one that joins":            {"co -o -a -o -o -o -o -o", ""},
		"of one that lives":            {"ca -a -o -o -o -o -o -o", ""},
		"of one that is repaired late": {"cu -u -u -u -o -o -o -o -o", "        x"},
		"over, and then not":           {"co -o -u -u -o -o -o -o -o", "        x"},
		"repaired":                     {"co -o ro -o -o -o -o -o", ""},
		"ended long ago":               {"lo -o -o -o -o -o -o", ""},
		"ended late":                   {"co -o eo -o -o -o -o -o", "      x"},
		"claimed again":                {"co -o ca -o -o -o -o -o", ""},
		"late twice":                   {"co -o -o -o -o co -o -o -o -o", "    x    x"},
	} {
		var l lateWrites
		now := time.Unix(1000, 0)
		got := ""
		for step := range strings.SplitSeq(tc.seen, " ") {
			stands := map[byte]standing{'a': instanceAlive, 'o': instanceOver, 'u': instanceUnsettled}[step[1]]
			if step[0] != '-' {
				v := session.Session{Connected: step[0] == 'c', Instance: "i"}
				if step[0] == 'r' {
					v.RepairedBy = "n"
				}
				l.see(id, v, step[0] != 'l', stands)
			}
			if due := l.due(now, patience, func(string) standing { return stands }); len(due) == 0 {
				got += " "
			} else {
				got += "x"
			}
			now = now.Add(time.Second)
		}
		if strings.TrimRight(got, " ") != strings.TrimRight(tc.want, " ") {
			t.Errorf("%s: due %q, want %q", name, got, tc.want)
		}
	}
}

// TestLivingClaimsAreNotLate: neither what a node owns that is here, nor what somebody
// owns who is no node, is taken for a late claim.
func TestLivingClaimsAreNotLate(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := join(t, s, "a"), join(t, s, "b")
	for _, living := range []session.Session{
		a.connects(t, "of a", "a1", ""), b.connects(t, "of b", "b1", ""),
		(&peer{Backbone: open(t, s, Config{Node: "none"})}).connects(t, "of nobody", "c1", ""),
	} {
		if err := b.nodes.repairLate(testContext(t), living.ID); err != nil {
			t.Error(err)
		}
		if v := b.session(t, living.ID.Device); !v.Connected || v.Revision != living.Revision {
			t.Errorf("session of %s: %+v", living.ID, v)
		}
	}
}

// storesLate stores a claim that an instance of a dead node has sent.
func (p *peer) storesLate(t *testing.T, dev, node, instance string) {
	t.Helper()
	late := session.Session{
		ID: hub.Identity{Device: dev}, Generation: "g1", Connected: true, Node: node, Instance: instance, Connection: "late", Remote: "192.0.2.1:1",
	}
	if _, err := p.sessions.write(testContext(t), subject.Key(late.ID), stored{Session: late}, 0); err != nil {
		t.Fatal(err)
	}
}

// TestUnknownInstanceClaimsNothing: a node that begins anew lets nobody in before
// its first beat. If it died until then, nobody would know whom to repair.
func TestUnknownInstanceClaimsNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := join(t, s, "a")
	a.nodes.beating.Lock() // it can't tell the others
	_, revision, err := a.nodes.look(testContext(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	a.nodes.enter(NodeRecord{}, revision)
	v := session.Session{ID: hub.Identity{Device: "d"}, Generation: "g1", Connected: true, Node: "a", Connection: "a1"}
	if _, _, err := a.sessions.Claim(testContext(t), v); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("a claim of an instance that nobody knows: %v", err)
	}
	if got := a.session(t, "d"); got.Revision != 0 {
		t.Errorf("it was stored: %+v", got)
	}
	a.nodes.beating.Unlock()
	until(t, "it lets devices in again", func() bool {
		_, _, err := a.sessions.Claim(testContext(t), v)
		return err == nil
	})
}

// TestUnknownInstanceRepairsNothing: a node that begins anew does not repair what it was
// before its first beat. If it died before it has told what it repairs, nobody would.
func TestUnknownInstanceRepairsNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := join(t, s, "a")
	a.connects(t, "d", "a1", "")
	a.nodes.beating.Lock() // it can't tell the others
	_, revision, err := a.nodes.look(testContext(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	a.nodes.enter(NodeRecord{Earlier: []string{a.nodes.current()}}, revision)
	for range 2 { // the second time it has looked, and found that it must wait
		a.nodes.again <- struct{}{}
		until(t, "it looks", func() bool { return len(a.nodes.again) == 0 })
	}
	if v := a.session(t, "d"); !v.Connected {
		t.Errorf("session: %+v", v)
	}
	a.nodes.beating.Unlock()
	until(t, "it repairs", func() bool { return !a.session(t, "d").Connected })
}

// TestFencedNodeComesBack: a node that stood still finds that it was taken for
// dead. It writes nothing of what it was, and goes on as another instance.
func TestFencedNodeComesBack(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := join(t, s, "a"), join(t, s, "b")
	owned := a.connects(t, "d", "a1", "bye")
	before := a.nodes.current()
	a.nodes.beating.Lock() // it stands still
	until(t, "the node is repaired", func() bool { return b.record(t, "a").State == NodeRepaired })
	owned.Subscribe(session.Subscription{Filter: "late"})
	if err := a.sessions.Save(testContext(t), &owned); hub.CodeOf(err) != hub.ConnectionReplaced {
		t.Errorf("save by a dead owner: %v", err)
	}
	if err := a.sessions.Release(testContext(t), &owned); hub.CodeOf(err) != hub.ConnectionReplaced {
		t.Errorf("release by a dead owner: %v", err)
	}
	// A claim of a node that may be dead is not confirmed before it has beaten.
	claimed := make(chan error)
	go func() {
		_, _, err := a.sessions.Claim(testContext(t), session.Session{ID: hub.Identity{Device: "e"}, Generation: "g", Connected: true, Node: "a", Connection: "a2"})
		claimed <- err
	}()
	select {
	case err := <-claimed:
		t.Errorf("claimed: %v", err)
		a.nodes.beating.Unlock()
	case <-time.After(soon / 10): // a claim that is wrong is faster
		a.nodes.beating.Unlock()
		if err := <-claimed; hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("claim of a dead instance: %v", err)
		}
	}
	until(t, "the node is back", func() bool { return b.record(t, "a").State == NodeUp })
	if a.fenced.Load() != 1 || a.usurped.Load() || a.nodes.current() == before {
		t.Errorf("fenced %d times, usurped %v", a.fenced.Load(), a.usurped.Load())
	}
	until(t, "the refused claim is undone", func() bool { return !b.session(t, "e").Connected })
	again := a.connects(t, "d", "a3", "")
	if again.Cut != true || b.told(t, "d") != fmt.Sprintf("%X+ %X-503001", owned.Epoch, owned.Epoch) {
		t.Errorf("claimed %+v, told %s", again, b.told(t, "d"))
	}
	until(t, "what is left is repaired", func() bool { return len(a.record(t, "a").Earlier) == 0 })
	if v := b.session(t, "d"); !v.Connected || v.Epoch != again.Epoch {
		t.Errorf("the new instance lost its session: %+v", v)
	}
	if got := b.wills(t, "d"); len(got) != 1 {
		t.Errorf("wills %q", got)
	}
}

// TestRepairerIsNoRival: who repairs an earlier instance of a node goes on to write
// its record for a while after the node is back. That is nobody who has taken the
// node's name, whether the node had stood still or starts again.
func TestRepairerIsNoRival(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := join(t, s, "a")
	a.nodes.stop() // from here on the test beats
	a.nodes.wg.Wait()
	b := join(t, s, "b")
	until(t, "the node is repaired", func() bool { return b.record(t, "a").State == NodeRepaired })
	b.nodes.stop() // nor is the node taken for dead again, however slow the test is
	b.nodes.wg.Wait()
	overtake := func() {
		t.Helper()
		r, revision, err := a.nodes.look(testContext(t), "a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.nodes.put(testContext(t), r, revision, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.nodes.beat(testContext(t)); err == nil || a.fenced.Load() != 1 {
		t.Fatalf("beat of a node that was taken for dead: %v, fenced %d times", err, a.fenced.Load())
	}
	overtake()
	if err := a.nodes.beat(testContext(t)); !errors.Is(err, errOvertaken) || a.usurped.Load() {
		t.Errorf("beat: %v, usurped %v", err, a.usurped.Load())
	}
	if err := a.nodes.beat(testContext(t)); err != nil || b.record(t, "a").Instance != a.nodes.current() {
		t.Errorf("beat: %v, record %+v", err, b.record(t, "a"))
	}
	again := &peer{Backbone: open(t, s, Config{Node: "a", NodeTimeout: soon})}
	again.nodes.member = again
	r, revision, err := again.nodes.look(testContext(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	again.nodes.enter(NodeRecord{Earlier: r.left()}, revision) // as Join does
	overtake()
	if err := again.nodes.beat(testContext(t)); !errors.Is(err, errOvertaken) || again.usurped.Load() {
		t.Errorf("first beat: %v, usurped %v", err, again.usurped.Load())
	}
	if err := again.nodes.beat(testContext(t)); err != nil {
		t.Error(err)
	}
	a.nodes.stop, b.nodes.stop = nil, nil // they do not leave
}

// TestNodeStartsAgain: a node repairs what an earlier run of it has left, and does
// not start beside one that lives.
func TestNodeStartsAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	first := join(t, s, "solo")
	first.connects(t, "d", "c1", "bye")
	twin := open(t, s, Config{Node: "solo", NodeTimeout: soon})
	if err := twin.nodes.Join(testContext(t), &peer{Backbone: twin}); err == nil || !strings.Contains(err.Error(), `"solo"`) {
		t.Fatalf("two nodes of one name: %v", err)
	}
	first.die()
	second := join(t, s, "solo")
	until(t, "it is repaired", func() bool { return !second.session(t, "d").Connected && len(second.wills(t, "d")) == 1 })
	until(t, "and noted", func() bool { return len(second.record(t, "solo").Earlier) == 0 })
	shut(second.Backbone)
	third := join(t, s, "third")
	if r := third.record(t, "solo"); r.State != NodeStopped {
		t.Errorf("after a clean stop: %+v", r)
	}
}

// TestNewNodeStops: a node that has never been there owes nothing when it stops at
// once.
func TestNewNodeStops(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	shut(join(t, s, "new").Backbone)
	if r := join(t, s, "other").record(t, "new"); r.State != NodeStopped {
		t.Errorf("after its stop: %+v", r)
	}
}

// TestRepairersRace lets several nodes repair the same at once, while the devices
// come back: whatever wins, each end is told once, and each will sent once.
func TestRepairersRace(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := join(t, s, "a")
	const devices = 40
	for i := range devices {
		a.connects(t, fmt.Sprint("d", i), "a1", "bye")
	}
	instance := a.nodes.current()
	a.die()
	peers := []*peer{
		{Backbone: open(t, s, Config{Node: "b"})}, {Backbone: open(t, s, Config{Node: "c"})}, {Backbone: open(t, s, Config{Node: "e"})},
	}
	var wg sync.WaitGroup
	for _, p := range peers {
		wg.Go(func() {
			if _, err := p.nodes.repair.run(testContext(t), deadNode{"a", []string{instance}, time.Now()}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		for i := range devices {
			peers[0].connects(t, fmt.Sprint("d", i), "b1", "")
		}
	})
	wg.Wait()
	for _, p := range peers {
		if !p.sessions.debts.wait(testContext(t)) {
			t.Fatal("debts are left")
		}
	}
	for i := range devices {
		dev := fmt.Sprint("d", i)
		if got := peers[0].wills(t, dev); len(got) != 1 {
			t.Errorf("wills of %s: %q", dev, got)
		}
		until(t, "the end is told once", func() bool { return strings.Count(peers[0].told(t, dev), "-") == 1 })
		if v := peers[0].session(t, dev); !v.Connected || v.Node != "b" || len(v.Owed) > 0 {
			t.Errorf("session of %s: %+v", dev, v)
		}
	}
}

// TestRepairIsFinishedByAnother: the node that repairs dies too.
func TestRepairIsFinishedByAnother(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := join(t, s, "a")
	a.connects(t, "d", "a1", "bye")
	a.die()
	c := join(t, s, "c")
	// As if b had declared it dead, ended the session, and died then.
	ended, err := c.nodes.repair.end(testContext(t), c.session(t, "d"))
	if err != nil {
		t.Fatal(err)
	}
	r, revision, err := c.nodes.look(testContext(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	r.State, r.Repairer = NodeDead, "b"
	if _, err := c.nodes.put(testContext(t), r, revision, 0); err != nil {
		t.Fatal(err)
	}
	until(t, "the repair is finished", func() bool { return c.record(t, "a").State == NodeRepaired })
	if got, want := c.told(t, "d"), fmt.Sprintf("%X+ %X-503001", ended.Epoch, ended.Epoch); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	until(t, "the will is sent", func() bool { return len(c.wills(t, "d")) == 1 })
}

// TestAloneNothingIsAnnounced: a claim is announced when another node could have an
// older connection, and only then.
func TestAloneNothingIsAnnounced(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := join(t, s, "a")
	heard, err := a.nc.SubscribeSync(a.names.ClaimedAll())
	if err != nil {
		t.Fatal(err)
	}
	alone := func(p *peer, want bool) {
		t.Helper()
		until(t, fmt.Sprintf("a node is alone: %t", want), func() bool { return p.nodes.census.isAlone() == want })
	}
	announced := func(dev string) {
		t.Helper()
		m, err := heard.NextMsgWithContext(testContext(t))
		if err != nil || m.Subject != a.names.Claimed(hub.Identity{Device: dev}) {
			t.Fatalf("heard %+v, %v, want the claim of %s", m, err, dev)
		}
	}
	alone(a, true)
	a.connects(t, "d1", "c1", "")
	b := join(t, s, "b")
	alone(a, false)
	alone(b, false)
	a.connects(t, "d2", "c2", "")
	announced("d2")
	v := b.connects(t, "d3", "c3", "")
	announced("d3")
	b.ends(t, &v, 0) // so that nobody has to repair it
	b.nodes.leave(testContext(t), nil)
	alone(a, true)
	a.connects(t, "d4", "c4", "")
	a.nodes.census.forget() // as after an interruption
	a.connects(t, "d5", "c5", "")
	announced("d5")
}

// TestForgottenNodeComesBack: a node that stood still until nobody knows of it any
// more ends what it was.
func TestForgottenNodeComesBack(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := join(t, s, "a"), join(t, s, "b")
	a.connects(t, "d", "a1", "")
	before := a.nodes.current()
	a.nodes.beating.Lock()
	until(t, "the node is repaired", func() bool { return b.record(t, "a").State == NodeRepaired })
	if err := b.nodes.bucket.remove(testContext(t), subject.EncodeToken("a"), 0); err != nil { // as after an hour
		t.Fatal(err)
	}
	a.nodes.beating.Unlock()
	until(t, "the node is back", func() bool { return b.record(t, "a").State == NodeUp })
	if a.fenced.Load() != 1 || a.nodes.current() == before {
		t.Errorf("fenced %d times, the same instance: %v", a.fenced.Load(), a.nodes.current() == before)
	}
	if v := b.session(t, "d"); v.Connected {
		t.Error("connected")
	}
}

// TestSilentNodeIsNotReady: a node whose beats are not stored lets nobody in.
func TestSilentNodeIsNotReady(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a := join(t, s, "a")
	if err := a.js.DeleteStream(testContext(t), "KV_"+a.names.NodesBucket()); err != nil {
		t.Fatal(err)
	}
	until(t, "it is not ready", func() bool { return hub.CodeOf(a.CheckNode()) == hub.ServiceUnavailable })
}
