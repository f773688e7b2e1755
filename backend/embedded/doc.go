// Package embedded runs nats-server inside the gateway's process, so that a
// hub needs no other program: JetStream keeps its files in the data directory,
// the gateway talks to it without a socket, and everybody else through a
// listener, loopback by default, with credentials files made on first start.
//
// The data directory belongs to one process at a time. It holds
//
//	lock                 held while a process uses the directory
//	jetstream/           JetStream's own files
//	nats/operator.nk     seeds of the operator, system and hub accounts
//	nats/system.nk
//	nats/hub.nk
//	nats/hub.creds       for back-end apps and the CLI
//	nats/gateway.creds   for the gateway itself
//	nats/system.creds    for operators: nats server report …
package embedded
