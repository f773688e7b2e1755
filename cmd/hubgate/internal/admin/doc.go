// Package admin is the administrative listener of a node: whether it lives and
// is ready, its version, its metrics and its profiles. It is for operators and
// their machines, and never for devices.
//
// It must not be a way to hurt the node: connections and requests are bounded,
// and who lets it wait goes. It tells nobody more than he may know: without
// credentials, where they are needed, there is a bare yes or no.
package admin
