// Package c2d has the rules of cloud-to-device messages: what one may look
// like, how it is written on the wire, and how it is delivered.
//
// A message is in the queue of its device until it is settled: delivered,
// expired, refused or purged. There is nothing per device but the messages
// themselves; a [Mailbox] exists for as long as the device is connected, and
// it reads the queue when it is woken.
//
// A message that asks for feedback is settled in four steps, each of which may
// be the last before a crash:
//
//  1. the outcome is written into the state of the device, by compare-and-set
//     and under the epoch of the connection. Only the first outcome counts, and
//     a connection that was replaced can't write one;
//  2. the feedback is stored, with an id that makes a second copy vanish;
//  3. a message that failed is stored among the dead letters, likewise;
//  4. the message is removed from the queue.
//
// Whoever finds a message with an outcome in the queue does not deliver it but
// goes on with step 2. So no message is lost, none is delivered after its
// feedback was stored, and no two feedbacks contradict each other. A message
// without feedback needs no outcome: it is removed when it was delivered, and
// delivered again when a crash came between. Messages that are acknowledged
// together take each step together.
package c2d
