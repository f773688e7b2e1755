// Package methods is direct methods: a back-end app calls, a device answers,
// and both timeouts hold in between. A call is answered once: with what the
// device said, or with the reason why it said nothing.
package methods
