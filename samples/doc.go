// Package samples holds the tests that run the samples; each sample is a
// program of its own in a directory below.
package samples
