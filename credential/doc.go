// Package credential is the in-band renewal of certificates: what a device may
// ask for, the authority that issues it, and the operation that stands between
// the question and the answer and outlives connections and gateways.
//
// It knows bytes, certificates and the rules. Topics, authentication and the
// store are elsewhere.
package credential
