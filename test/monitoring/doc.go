// Package monitoring holds the dashboard and the rules in deploy to what a node
// exposes: every metric, label and label value that they name is there, every
// expression is PromQL, every rule is one that Prometheus takes, and every alert
// fires when it should and not when all is well.
//
// It is a module of its own, for Prometheus' own parser, which the product has no
// use for.
package monitoring
