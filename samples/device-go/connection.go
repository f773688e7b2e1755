package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	// tokenLife is how long a token is good. The hub ends a connection whose
	// token has expired; the client comes back with a new one.
	tokenLife = 24 * time.Hour
	// maxPause bounds the pauses between attempts to connect.
	maxPause = time.Minute
)

// device is a connection and the state of the conversations over it.
type device struct {
	who    credentials
	client paho.Client

	requests atomic.Uint64 // numbers the requests about the twin
	answers  sync.Map      // request id: chan twinAnswer

	desired   chan struct{}      // holds a value when desired properties may be new
	interval  time.Duration      // between messages, as it is in force
	intervals chan time.Duration // a new interval, for who sends the messages
}

func newDevice(ctx context.Context, who credentials, roots *x509.CertPool, o options) *device {
	d := &device{
		who:       who,
		desired:   make(chan struct{}, 1),
		interval:  o.every,
		intervals: make(chan time.Duration, 1),
	}
	opts := paho.NewClientOptions().
		AddBroker(fmt.Sprintf("ssl://%s:%d", who.dial, o.port)).
		SetTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}).
		SetProtocolVersion(4). // MQTT 3.1.1, and no attempt with 3.1 after a refusal
		SetClientID(who.device).
		// The hub keeps the subscriptions while the device is away. So it gets
		// what waits for it even before it has subscribed again.
		SetCleanSession(false).
		// Called for every connection, also when the client reconnects.
		SetCredentialsProvider(func() (user, password string) {
			return who.userName(), who.token(time.Now().Add(tokenLife))
		}).
		SetMaxReconnectInterval(maxPause).
		SetOnConnectHandler(func(paho.Client) { d.connected(ctx) }).
		SetConnectionLostHandler(func(_ paho.Client, err error) { fmt.Println("connection lost:", err) }).
		SetConnectionNotificationHandler(func(_ paho.Client, n paho.ConnectionNotification) {
			if failed, ok := n.(paho.ConnectionNotificationFailed); ok {
				fmt.Println("not connected:", failed.Reason)
			}
		})
	d.client = paho.NewClient(opts)
	// Before the connection: what waits for the device may come right after
	// CONNACK. Handlers run one after another, in the order of the messages, and
	// must not wait for the connection, which would wait for them.
	d.client.AddRoute(twinAnswers, func(_ paho.Client, m paho.Message) { d.takeAnswer(m.Topic(), m.Payload()) })
	d.client.AddRoute(desiredChanges, func(_ paho.Client, m paho.Message) { d.takeChange(m.Payload()) })
	d.client.AddRoute(methodCalls, func(_ paho.Client, m paho.Message) { go d.serveCall(ctx, m.Topic(), m.Payload()) })
	d.client.AddRoute(who.messages(), func(_ paho.Client, m paho.Message) { takeMessage(m) })
	return d
}

// connect tries until the device is connected. It gives up when trying again
// does not help. Later the client reconnects by itself.
func (d *device) connect(ctx context.Context) error {
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		err := await(ctx, d.client.Connect())
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case untrusted:
			return fmt.Errorf("connect to %s: %w; -ca names the file of the hub's authority", d.who.dial, err)
		case errors.Is(err, packets.ErrorRefusedNotAuthorised):
			return fmt.Errorf("connect to %s: %w; is the connection string that of the device, and the clock right?", d.who.dial, err)
		}
		// A random part keeps the devices of a fleet from coming back all at once.
		select {
		case <-time.After(pause + rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// connected is called after every CONNACK.
func (d *device) connected(ctx context.Context) {
	token := d.client.SubscribeMultiple(map[string]byte{
		twinAnswers: 0, desiredChanges: 0, methodCalls: 0, d.who.messages(): 1,
	}, nil) // nil: the routes are there already
	if err := await(ctx, token); err != nil {
		// The connection is gone again; the next one subscribes.
		fmt.Println("not subscribed:", err)
		return
	}
	if granted, ok := token.(*paho.SubscribeToken); ok {
		for filter, qos := range granted.Result() {
			if qos > 2 { // 0x80
				fmt.Println("the hub refuses the subscription to", filter)
			}
		}
	}
	fmt.Println("connected as", d.who.device)
	d.wake() // desired properties may have changed meanwhile
}

// publish sends with QoS 1 and waits for PUBACK, over reconnects too: the
// client sends again what the hub has not acknowledged.
func (d *device) publish(ctx context.Context, topic string, body []byte) error {
	return await(ctx, d.client.Publish(topic, 1, false, body))
}

func await(ctx context.Context, token paho.Token) error {
	select {
	case <-token.Done():
		return token.Error()
	case <-ctx.Done():
		return ctx.Err()
	}
}
