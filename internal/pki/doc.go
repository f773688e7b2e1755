// Package pki makes and keeps the certificates of a development hub: a private
// authority that devices trust, and from it one ECDSA and one RSA certificate
// for the listeners. It also reads the certificate files of a production hub.
//
// A directory holds ca.pem, ca.key, server.pem, server.key, server-rsa.pem and
// server-rsa.key; device-ca.pem and device-ca.key issue for devices. Certificates are made once and found again; nothing here
// replaces the authority, because devices have been told to trust it.
package pki
