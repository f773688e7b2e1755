// Package docs holds what is written for back-end apps against a running hub:
// every line for the nats command in the documentation is run as it stands, and
// has to print what its page promises; docs/asyncapi.yaml has to describe every
// subject, stream, bucket and service that a hub makes, nothing else, and every
// message that is seen on them.
//
// It is a module of its own, for what it needs and the product does not: go.mod
// pins the nats command and a validator of JSON schemas.
package docs
