// Command bench measures hubgate beside its references in one run: raw
// JetStream asynchronous publish, nats-server's own MQTT listener, mosquitto
// where it is installed, a bare Go TLS listener, and bare operations of NATS. It
// is what `make bench` starts; it needs Linux, for epoll and /proc.
//
// Every server is a process of its own, pinned to one core; the generator runs
// on another (-pin=false leaves both to the scheduler). The generator speaks
// MQTT with packets of its own over non-blocking sockets, all of them driven by
// one goroutine and epoll, and its TLS 1.3 records are sealed by hand, so that
// it stays cheaper than the servers; a cell in which it was not is marked.
// Closed-loop cells keep a window of unacknowledged QoS 1 messages on every
// connection and give throughput; open-loop cells send on a schedule and give
// latency, counted from the moment a message was due. Every PUBACK is checked
// for its order, and the acknowledged messages against what the stream holds. In
// one row a consumer on the generator's core takes everything meanwhile, and what
// was delivered to it counts.
//
// Conversations are measured beside what they need at least. A twin request
// stands beside the read or the compare-and-set of a key, and the delivery of a
// cloud-to-device message beside the direct get and the deletion of a message:
// by sixteen callers in the server's process, as the gateway is in its. A direct
// method, which a device of the generator answers at once, stands beside a
// request that a NATS client of the generator does. The queues are full before
// their devices subscribe, and a row ends when they are empty. Every answer is
// checked for its status and its order, and every delivery for its place in the
// queue.
//
// The REST API is asked by 64 connections that are kept, with a SAS token in each
// request: twins are read and patched and devices created, beside the same number
// of callers who read, compare-and-set and create keys. Queries are asked over a
// fleet one after the other, beside the read of a twin by the same API.
//
// A storm is a fleet that comes back at once: every device connects, resumes its
// session and publishes, and tries again as an SDK does when it was refused. It
// stands beside a server that does TLS and CONNECT only. The rate counts until
// 99 of 100 are in; nobody may be refused twice.
//
// Queries are asked of a fleet of twins in memory, beside SQLite's json functions
// over the same documents, one after another on the bench's core.
//
// A stripped binary, and the idle process that it makes, stand beside those of a
// program that embeds the same server and does nothing.
//
// The section scale is run by itself: it connects devices of hubgate simulate to
// nodes beside a NATS server of their own and tells what each of them costs both,
// and it fills a registry and tells how long everything takes to start then.
//
// The cells of all targets are interleaved within a round, a ratio is taken
// within a round, and the table shows the median of the rounds with the lowest
// and the highest. Only the ratios mean something: the numbers belong to one
// machine and one hour.
package main
