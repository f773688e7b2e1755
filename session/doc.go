// Package session keeps what outlives a connection: which node owns an
// identity now, and, for a client that connected with clean session 0, its
// subscriptions. Its one invariant is that only the owner writes: each claim
// of an identity has an epoch, and a write under an older epoch is refused.
package session
