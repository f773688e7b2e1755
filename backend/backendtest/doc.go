// Package backendtest holds the tests that every store must pass, the real one
// on JetStream and the fakes that stand in for it in tests of rules: what the
// features rely on is said here once.
package backendtest
