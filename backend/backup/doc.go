// Package backup copies a hub out of NATS while it runs, and back into an empty
// one: every stream as a snapshot of JetStream's own, with its consumers, every
// bucket value by value.
//
// Buckets are not snapshots for two reasons. A snapshot reads a stream block by
// block; a key whose value moves from a block that is still to be read into one
// that is not part of the snapshot is missing. (Of 60,000 keys that eight writers
// put again and again, snapshots of nats-server 2.15 have lost 100 to 1,000.) A
// reader who goes on until he has caught up sees each key. And what is read value by value can be written
// with new revisions: those are epochs and fences, and none that was given out
// before, also after the backup was made, is ever given out again.
package backup
