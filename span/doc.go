// Package span is how the parts of a node tell what they do to whoever shows it
// as traces. It knows nothing of how traces are made, kept or sent: where nobody
// wants any, the [Tracer] is nil, and a look at that is all that they cost.
package span
