// Package hub holds the words that every other package shares: who speaks
// (Identity) and what can go wrong (Code, Error and the one table that maps a
// code to each protocol). It imports no other package of this module.
package hub
