// Command bench measures hubgate beside its references in one run: raw
// JetStream asynchronous publish, nats-server's own MQTT listener, mosquitto
// where it is installed, and a bare Go TLS listener. It is what `make bench`
// starts; it needs Linux, for epoll and /proc.
//
// Every server is a process of its own, pinned to one core; the generator runs
// on another (-pin=false leaves both to the scheduler). The generator speaks
// MQTT with packets of its own over non-blocking sockets, all of them driven by
// one goroutine and epoll, and its TLS 1.3 records are sealed by hand, so that
// it stays cheaper than the servers; a cell in which it was not is marked.
// Closed-loop cells keep a window of unacknowledged QoS 1 messages on every
// connection and give throughput; open-loop cells send on a schedule and give
// latency, counted from the moment a message was due. Every PUBACK is checked
// for its order, and the acknowledged messages against what the stream holds.
//
// The cells of all targets are interleaved within a round, a ratio is taken
// within a round, and the table shows the median of the rounds with the lowest
// and the highest. Only the ratios mean something: the numbers belong to one
// machine and one hour.
package main
