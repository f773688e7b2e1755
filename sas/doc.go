// Package sas is IoT Hub's shared access signatures: tokens (token.go), the
// keys that sign them (key.go), the hub-wide policies that hold such keys
// (policy.go), and the connection strings in which users carry keys about
// (connection.go). Nothing in it ever puts a key or a token into an error.
package sas
