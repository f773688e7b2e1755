// Package methods will own direct methods: the invocation of a method on a
// connected device or module, its two timeouts and its answer. It has no code
// yet. Until it has, the gateway grants the subscription filters of methods,
// because SDKs subscribe to them on their own, and nobody can invoke one.
package methods
