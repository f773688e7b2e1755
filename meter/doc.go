// Package meter counts what happens often, at the price of an atomic addition
// and without an allocation: the parts of a node count, and whoever wants to
// see the numbers takes a copy. It knows nothing of how they are shown.
package meter
