// Package plainjson reads and writes the JSON of types that the hub reads and
// writes all the time, in the way in which encoding/json writes them: members in
// one order, without spaces, and of strings only those that nothing is escaped in.
//
// It is encoding/json's fast lane, and has no rules of its own. What a [Reader]
// takes means to encoding/json the same, and what a [Writer] writes is what that
// would write. Whatever is out of the ordinary, such as another order, a name that
// nobody knows, or a fault, they do not take: their users have encoding/json do
// it then.
package plainjson
