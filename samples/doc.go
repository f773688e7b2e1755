// Package samples holds the test that runs the samples; each sample is a
// program of its own in a directory below.
package samples
