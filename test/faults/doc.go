// Package faults harms the real binary, or lets hostile peers at it, and checks
// one sentence: nothing acknowledged is missing. Everybody else must not
// notice, memory must stay bounded, and whoever is refused is told why in the
// log, and in the connection events once it is known who it is.
//
// Every server has a loopback address of its own, so that the tests may run at
// the same time as anything else. A device is a raw socket with the codec of
// gateway/mqtt (client_test.go), one that does not give up a publisher
// (publisher_test.go). Those who converse, devices and back ends, write down what
// they were told over every end of the gateway: patcher and desirer
// (patcher_test.go), taker and sender (mail_test.go), callee and orderer
// (command_test.go).
package faults
