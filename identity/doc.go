// Package identity is the registry: which devices and modules exist, how they
// prove who they are, and whether they may connect. A Record is what is kept
// of one, and its JSON is IoT Hub's own; Registry holds the rules; a Store is
// where records live. Its one invariant is that a record changes by
// compare-and-set only, so that nobody overwrites a change he has not seen.
package identity
