// Package subject is the only place with names of NATS subjects, streams,
// buckets and keys, and with the encoding that makes a device id one legal
// subject token. docs/nats.md describes the same names for those who use NATS
// without this module.
package subject
