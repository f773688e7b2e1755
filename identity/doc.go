// Package identity is the registry's rules: what a device or module is, how
// its keys, etag and generation come about, and which changes are allowed
// (registry.go). Records are kept by a [Store]. The JSON of a [Record] is IoT
// Hub's own device object (record.go), in the store as on every wire.
package identity
