// Package backend keeps everything a hub knows in NATS JetStream and nowhere
// else. It owns the connections to NATS, the streams and buckets, the stores
// of the features (identities, sessions, policies), the engine that stores
// telemetry, and the NATS services for back-end apps.
//
// Its invariant: what a method reports as stored, JetStream has acknowledged.
package backend
