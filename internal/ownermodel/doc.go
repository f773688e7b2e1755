// Package ownermodel is the protocol by which one connection at a time owns a
// device, small enough for a search of all that can happen: claims, writes and
// releases of sessions, announcements that get lost, answers that come late or
// never, nodes that die, stand still and come back, repair by the others, wills
// and events that are owed. docs/ownership.md has the argument in words; the
// tests search, and see that each guard is needed, by leaving it out.
package ownermodel
