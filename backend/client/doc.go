// Package client is for back-end apps of a hub: it reads what devices send and
// manages their identities. It needs a NATS connection and nothing of the
// gateway; docs/nats.md says how to do the same in any other language.
package client
