// Package sampletest runs the samples for tests: process.go starts a program and
// reads what it prints, converse.go is the back end's side of the four
// conversations with a device.
package sampletest
