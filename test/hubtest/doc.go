// Package hubtest runs the real hubgate binary for tests: it builds it once,
// starts it with a data directory and a loopback address of its own, ends it
// politely or by force, runs its command line, and reads what it stores as a
// back-end app does, by NATS.
//
// Every wait is bounded by [Patience]. What fails fails the test that is
// passed; what a machine lacks is skipped loudly by [Skip].
package hubtest
