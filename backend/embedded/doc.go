// Package embedded runs nats-server inside the gateway's process, so that a
// hub needs no other program: JetStream keeps its files in the data directory,
// the gateway talks to it without a socket, and everybody else through a
// listener, loopback by default, with credentials files made on first start.
// Without credentials nobody gets in, on whatever address it listens.
//
// The data directory belongs to one process at a time. It holds
//
//	lock                 held while a process uses the directory
//	jetstream/           JetStream's own files
//	nats/operator.nk     seeds of the operator, system and hub accounts
//	nats/system.nk
//	nats/hub.nk
//	nats/backend.nk      seed that signs users with the rights of back-end apps
//	nats/hub.creds       for the operator and the CLI: everything in the hub's account
//	nats/backend.creds   for back-end apps: the rights of [Config.Backend]
//	nats/gateway.creds   for the gateway itself, of use in this process only
//	nats/system.creds    for operators: nats server report …
//
// With [Config.Encryption], all that JetStream writes is encrypted.
package embedded
