// Package twin will own device and module twins: the document with its desired
// and reported properties, the merge rules, versions, metadata, limits and
// etags, and the small store interface that these need. It has no code yet.
// Until it has, the gateway grants the subscription filters of twins, because
// SDKs subscribe before they ask, and ends a connection that publishes to a
// twin topic: an answer that did nothing would be worse.
package twin
