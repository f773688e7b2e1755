// Package attack tries to get in, to be somebody else, and to take the gateway
// away from others: each test is an attacker against the real binary. An attack
// has to fail in three ways at once. The attacker sees no more than MQTT has for
// it: a CONNACK, a closed connection. The log and the timeline, which hubgate
// why tells, say what was wrong. And nobody else notices: devices publish all
// the while, one message after the other, and are never disconnected.
//
// Every attack comes from a loopback address of its own, so that what the
// timeline says about an address is about one attack, and no attack is refused
// for what another did.
//
// TestREST… attack the HTTP API. There an attacker sees IoT Hub's own error and no
// more, the stores are what they were, and besides the devices an operator goes on
// who writes and reads.
//
// What is elsewhere is not repeated. In test/faults: CONNECTs that lie in one
// field (TestRefused), keys and policies replaced during a connection
// (TestCutMidConnection, TestPolicyKeyReplaced), garbage on each port
// (TestStrangers), packets that a device may not send (TestBadPackets), silent
// peers by the thousand (TestHalfOpen, TestFewFiles, TestSilentWebSockets), two
// clients with one id (TestFight), and hostile twins, methods and
// cloud-to-device messages (badtwin_test.go, badmethod_test.go). Parsers that a
// peer can reach have fuzz targets beside them.
package attack
