// Package sas is IoT Hub's shared access signatures: tokens (token.go,
// sign.go, scope.go), the keys that sign them (key.go), the hub-wide policies
// that own such keys (policy.go, permission.go), and the connection strings in
// which users carry keys about (connection.go). Its one invariant is that no
// key and no token is ever part of an error.
package sas
