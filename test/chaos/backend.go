//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/test/hubtest"
)

// askPatience is how long a back end waits for an answer of a service.
const askPatience = 10 * time.Second

// backend is the apps behind the hub. They use NATS, past the relays, and write
// down what they were answered. Its methods are safe for concurrent use.
type backend struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	verdict *verdict

	mu       sync.Mutex
	counts   map[string]*count // by kind of operation
	numbers  map[string]int    // the last desired value sent, by device
	desired  map[string]int    // the greatest that was acknowledged
	versions map[string]int64  // of desired, with it
	created  map[string]bool   // devices whose creation was answered
	calls    map[string]call   // methods, by body
	commands map[string]string // accepted: body by command id
	mail     map[string]string // accepted: device by message
	serial   int
}

// count is what became of the operations of one kind.
type count struct{ tried, acked int }

// call is one direct method.
type call struct {
	device   string
	answered bool
}

func newBackend(urls string, v *verdict) (*backend, error) {
	nc, err := nats.Connect(urls, nats.Name("chaos"), nats.MaxReconnects(-1), nats.ReconnectWait(200*time.Millisecond), nats.Timeout(3*time.Second),
		nats.PingInterval(5*time.Second), nats.MaxPingsOutstanding(2))
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &backend{
		nc: nc, js: js, verdict: v, counts: map[string]*count{}, numbers: map[string]int{}, desired: map[string]int{}, versions: map[string]int64{},
		created: map[string]bool{}, calls: map[string]call{}, commands: map[string]string{}, mail: map[string]string{},
	}, nil
}

// errRefused is an answer that refuses.
var errRefused = errors.New("refused")

// request asks a service; what it refuses is an error with its sentence.
func (b *backend) request(ctx context.Context, subj string, body []byte, header nats.Header) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	m, err := b.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: subj, Data: body, Header: header})
	if err != nil {
		return nil, err
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return m, fmt.Errorf("%w: %s %s", errRefused, code, m.Header.Get(micro.ErrorHeader))
	}
	return m, nil
}

// tried and acked count operations. next is a number that nobody else gets.
func (b *backend) tried(kind string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts[kind] == nil {
		b.counts[kind] = &count{}
	}
	b.counts[kind].tried++
}

func (b *backend) acked(kind string) { b.counts[kind].acked++ }

func (b *backend) next() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.serial++
	return b.serial
}

// create makes an identity and returns its key, as text.
func (b *backend) create(ctx context.Context, id string) (string, error) {
	b.tried(opRegistry)
	m, err := b.request(ctx, "hub.registry.put."+hubtest.Key(id), []byte("{}"), nil)
	if err != nil {
		return "", err
	}
	var out struct {
		Authentication struct {
			SymmetricKey struct{ PrimaryKey string }
		}
	}
	if err := json.Unmarshal(m.Data, &out); err != nil {
		return "", fmt.Errorf("read the identity %s: %w", id, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked(opRegistry)
	b.created[id] = true
	return out.Authentication.SymmetricKey.PrimaryKey, nil
}

// Kinds of operations.
const (
	opTelemetry = "telemetry"
	opReported  = "reported patch"
	opDesired   = "desired update"
	opRegistry  = "device created"
	opMethod    = "direct method"
	opCommand   = "durable command"
	opMail      = "C2D message"
)

// update writes the next desired value of a device, of which only one caller
// at a time may write.
func (b *backend) update(ctx context.Context, device string) (int, error) {
	b.tried(opDesired)
	b.mu.Lock()
	b.numbers[device]++
	n := b.numbers[device]
	b.mu.Unlock()
	m, err := b.request(ctx, "hub.twin.update."+hubtest.Key(device), fmt.Appendf(nil, `{"properties":{"desired":{"d":%d}}}`, n), nil)
	if err != nil {
		return n, err
	}
	var twin struct {
		Properties struct{ Desired json.RawMessage }
	}
	if err := json.Unmarshal(m.Data, &twin); err != nil {
		return n, err
	}
	s := parseSection(twin.Properties.Desired)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked(opDesired)
	if v := s.number("$version"); v <= b.versions[device] || int(s.number("d")) != n {
		b.verdict.broken("desired rolled back", "%s: value %d was answered by %s, after version %d", device, n, twin.Properties.Desired, b.versions[device])
	} else {
		b.versions[device] = v
	}
	b.desired[device] = n
	return n, nil
}

// lastDesired is the greatest value that was acknowledged.
func (b *backend) lastDesired(device string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.desired[device]
}

// invoke calls a method of a device.
func (b *backend) invoke(ctx context.Context, device string) error {
	b.tried(opMethod)
	body := strconv.Quote("m" + strconv.Itoa(b.next()))
	b.mu.Lock()
	b.calls[body] = call{device: device}
	b.mu.Unlock()
	m, err := b.request(ctx, "hub.method."+hubtest.Key(device)+".ping", []byte(body), nats.Header{"Hub-Response-Timeout": {"5s"}})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked(opMethod)
	b.calls[body] = call{device, true}
	if string(m.Data) != body || m.Header.Get("Hub-Status") != "200" {
		b.verdict.broken("answers", "the method %s of %s was answered by %q %s", body, device, m.Header.Get("Hub-Status"), m.Data)
	}
	return nil
}

// order leaves a command that waits for its device.
func (b *backend) order(ctx context.Context, device string) error {
	b.tried(opCommand)
	body := strconv.Quote("c" + strconv.Itoa(b.next()))
	m, err := b.request(ctx, "hub.method."+hubtest.Key(device)+".later", []byte(body), nats.Header{"Hub-Wait": {"10m"}, "Hub-Response-Timeout": {"5s"}})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked(opCommand)
	b.commands[m.Header.Get("Hub-Command-Id")] = body
	return nil
}

// send sends a message that wants all feedback.
func (b *backend) send(ctx context.Context, device string) (string, error) {
	b.tried(opMail)
	id := "x" + strconv.Itoa(b.next())
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	_, err := b.js.PublishMsg(ctx, &nats.Msg{
		Subject: "hub.c2d." + hubtest.Key(device), Header: nats.Header{"message-id": {id}, "iothub-ack": {"full"}}, Data: []byte(id),
	})
	if err != nil {
		if strings.Contains(err.Error(), "maximum messages per subject") {
			return id, errRefused
		}
		return id, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.acked(opMail)
	b.mail[id] = device
	return id, nil
}

// The pace of the back ends, of all devices together.
const (
	desiredEvery  = 60 * time.Millisecond
	methodEvery   = 60 * time.Millisecond
	mailEvery     = 60 * time.Millisecond
	commandEvery  = 200 * time.Millisecond
	registryEvery = 500 * time.Millisecond
	workers       = 4
)

// work has the back ends converse with the devices until ctx ends. One worker
// has some of the devices for itself.
func (b *backend) work(ctx context.Context, devices []string) *sync.WaitGroup {
	var wg sync.WaitGroup
	each := func(every time.Duration, do func(string)) {
		for i := range workers {
			wg.Go(func() {
				t := time.NewTicker(workers * every)
				defer t.Stop()
				for n := i; ; n += workers {
					select {
					case <-ctx.Done():
						return
					case <-t.C:
						do(devices[n%(len(devices)/workers*workers)])
					}
				}
			})
		}
	}
	whole := context.WithoutCancel(ctx) // what has begun is answered
	each(desiredEvery, func(id string) { _, _ = b.update(whole, id) })
	each(methodEvery, func(id string) { _ = b.invoke(whole, id) })
	each(mailEvery, func(id string) { _, _ = b.send(whole, id) })
	each(commandEvery, func(id string) { _ = b.order(whole, id) })
	each(registryEvery, func(string) { _, _ = b.create(whole, "late-"+strconv.Itoa(b.next())) })
	return &wg
}
