// Package rest is the operators' face: IoT Hub's service REST API over the
// features of the hub. It is a translation: what a request may do and what it
// does stands in the features, and the answer is theirs.
//
// Source: the swagger of api-version 2021-04-12 and what the service SDKs send
// and expect.
package rest
