// Package query is IoT Hub's query language and the documents that it is asked
// of: a parser whose errors name line and column, and a collection of JSON
// documents in memory that answers queries page by page, by an index where it
// has one. It knows nothing of devices but that deviceId and moduleId are in
// their keys.
//
// A text becomes tokens (token.go), a tree (parse.go, selection.go, path.go,
// expression.go) and, for each reader of documents, functions (condition.go). A
// document is a tape (tape.go): encode.go makes it, find.go follows a path on it,
// print.go makes JSON of it again. A query asks the keys that its condition
// allows (ranges.go) or indexes (index.go) for the documents to look at
// (access.go), and makes rows (run.go) or groups (group.go) of them.
//
// Source: Microsoft's page "IoT Hub query language for device and module
// twins, jobs, and message routing".
package query
