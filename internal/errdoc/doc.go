// Package errdoc writes docs/errors.md from the error table of package hub. It
// has tests only: they fail while the page is stale, and with -update they
// write it (make golden).
package errdoc
