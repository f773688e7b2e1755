// Package deploy holds the files of the directory deploy against the binary and
// against the schemas of those who read them. It is a module of its own: what it
// takes to render a chart is nothing that a gateway should depend on.
package deploy
