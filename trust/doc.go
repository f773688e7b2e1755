// Package trust says which certificates vouch for devices: the certificate
// authorities that a hub trusts, the registry in which they are kept with the
// proof that somebody holds their key, and the revocation lists.
//
// It reads bytes from outside and knows no file, no network and no device: who
// reads the files, stores the registry and compares names with identities is
// elsewhere.
package trust
