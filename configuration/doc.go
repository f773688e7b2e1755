// Package configuration is automatic device management: what desired
// properties the devices have that a condition selects, which configuration
// wins where several do, and how many follow it.
//
// # Who writes
//
// What a configuration means for a twin is derived: [Controller] computes it on
// every node from the configurations and the document of the twin, and keeps
// nothing that could be lost. One node, which has the [Lease], writes it; but
// nothing depends on there being only one. Each write
//
//   - is made only when the twin does not hold yet what it must hold,
//   - carries the etag of the document that it was computed from, so that the
//     store refuses it when anybody, another node too, was faster, and
//   - is itself a change that every node hears of and judges.
//
// Two nodes that both believe they have the lease compute the same write, and
// the second one is refused. A node that comes back from a long pause with old
// configurations can make one write by them; the others see it and put it
// right. The lease only spares them the work of refused writes. What would make
// all of this wrong is a missed change, and so a node looks at all twins when it
// starts, when it gets the lease, and every few minutes.
//
// # What is taken back
//
// A desired property says in its metadata which configuration wrote it, until
// somebody else writes it. When no configuration that wins gives a twin the
// property any more, what has such a mark is deleted, and what operators wrote
// stays, as IoT Hub documents it. A device that is left by its last edge
// deployment keeps everything, as documented too.
//
// # Who wins
//
// Of the configurations with deviceContent that select a device, the one with
// the highest priority counts, and of several the newest; the same for
// moduleContent and modules. Of edge deployments (modulesContent) that is the
// base, on top of which go the layers with a higher priority: deployments that
// do not set all desired properties of $edgeAgent.
//
// Source: Microsoft's pages "automatic IoT device and module management" and
// "understand IoT Edge automatic deployments", and the service API's
// /configurations.
package configuration
