package methods

import (
	"context"
	"time"

	"github.com/hubgate/hubgate/hub"
)

const (
	// maxHops is how many nodes a call is taken to: a device may move while
	// it is looked for.
	maxHops = 3
	// remoteGrace is how much longer than the response timeout the answer of
	// another node is waited for: that node says why there is none.
	remoteGrace = 2 * time.Second
)

// Presence says where devices are connected.
type Presence interface {
	// Owner returns the node that id is connected to, "" when it is not.
	Owner(ctx context.Context, id hub.Identity) (node string, err error)
}

// Devices says which identities there are.
type Devices interface {
	// Generation returns the generation of id. It fails with DeviceNotFound or
	// ModuleNotFound when there is no such identity.
	Generation(ctx context.Context, id hub.Identity) (string, error)
}

// Remote calls devices that are connected to other nodes.
type Remote interface {
	// InvokeAt is [Local.Invoke] on a node. It fails with DeviceNotOnline when
	// that node is gone.
	InvokeAt(ctx context.Context, node string, c Call) (Answer, error)
}

// Arrivals tells when devices can be called.
type Arrivals interface {
	// Arrivals returns a channel that has a value after id has connected or
	// subscribed to methods, on whatever node, from now on until stop is called.
	Arrivals(ctx context.Context, id hub.Identity) (arrived <-chan struct{}, stop func(), err error)
}

// Invoker calls devices wherever they are connected. Set all fields before
// use; it is safe for concurrent use.
type Invoker struct {
	Node     string // the name of this node
	Local    Local
	Presence Presence
	Devices  Devices
	Remote   Remote
	Arrivals Arrivals
	// Observed hears how long each call took, from its beginning to the answer or
	// the error; nil: nobody does. It does not block.
	Observed func(began time.Time, err error)
}

// Invoke completes the call, takes it to the device once, and returns the
// device's answer. Its errors are *hub.Error: ArgumentInvalid and
// MessageTooLarge for what breaks a rule, DeviceNotFound, ModuleNotFound,
// DeviceNotOnline when the device was not called, and GatewayTimeout,
// ConnectionLost and TooManyCalls as [Local] has them. After GatewayTimeout
// and ConnectionLost nobody knows whether the device has acted.
func (v *Invoker) Invoke(ctx context.Context, c Call) (Answer, error) {
	began := time.Now()
	a, err := v.invoke(ctx, c)
	if v.Observed != nil {
		v.Observed(began, err)
	}
	return a, err
}

func (v *Invoker) invoke(ctx context.Context, c Call) (Answer, error) {
	if err := c.Complete(); err != nil {
		return Answer{}, err
	}
	a, err := v.once(ctx, c)
	switch {
	case !absent(err):
	case c.ConnectTimeout == 0:
		err = hub.Errorf(hub.DeviceNotOnline, "%w; the connect timeout is 0, so it was not waited for", err)
	default:
		a, err = v.await(ctx, c)
	}
	if err == nil && len(a.Payload) > MaxPayload {
		return Answer{}, hub.Errorf(hub.MessageTooLarge, "the answer of %s, with status %d, has %d bytes; a method takes %d", c.ID, a.Status, len(a.Payload), MaxPayload)
	}
	return a, err
}

// absent reports that the device was not called because it is not there.
func absent(err error) bool { return hub.CodeOf(err) == hub.DeviceNotOnline }

// await calls the device as soon as it is there. What it waits for may be
// missed while a cluster of NATS servers learns who listens, so it tries once
// more when the time is over.
func (v *Invoker) await(ctx context.Context, c Call) (Answer, error) {
	late := time.NewTimer(c.ConnectTimeout)
	defer late.Stop()
	arrived, stop, err := v.Arrivals.Arrivals(ctx, c.ID)
	if err != nil {
		return Answer{}, err
	}
	defer stop()
	for over := false; ; {
		a, err := v.once(ctx, c)
		if !absent(err) {
			return a, err
		}
		if over {
			return Answer{}, hub.Errorf(hub.DeviceNotOnline, "Timed out waiting for device to connect: %w after %v", err, c.ConnectTimeout)
		}
		select {
		case <-arrived:
		case <-late.C:
			over = true
		case <-ctx.Done():
			return Answer{}, hub.Errorf(hub.ServiceUnavailable, "nobody waits for the device any more: %w", err)
		}
	}
}

// once takes the call to the device if it can be called now. It follows a
// device that moves from node to node meanwhile.
func (v *Invoker) once(ctx context.Context, c Call) (Answer, error) {
	a, err := v.at(ctx, v.Node, c)
	if !absent(err) {
		return a, err
	}
	last := v.Node
	for range maxHops {
		owner, ownerErr := v.Presence.Owner(ctx, c.ID)
		if ownerErr != nil {
			return Answer{}, ownerErr
		}
		if owner == "" || owner == last {
			break
		}
		if a, err = v.at(ctx, owner, c); !absent(err) {
			return a, err
		}
		last = owner
	}
	if _, missing := v.Devices.Generation(ctx, c.ID); missing != nil {
		return Answer{}, missing
	}
	return Answer{}, err
}

// at takes the call to the connections of one node.
func (v *Invoker) at(ctx context.Context, node string, c Call) (Answer, error) {
	if node == v.Node {
		ctx, cancel := context.WithTimeout(ctx, c.ResponseTimeout)
		defer cancel()
		return v.Local.Invoke(ctx, c)
	}
	ctx, cancel := context.WithTimeout(ctx, c.ResponseTimeout+remoteGrace)
	defer cancel()
	return v.Remote.InvokeAt(ctx, node, c)
}
