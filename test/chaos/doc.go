// Command chaos runs a hub as users run it, three NATS servers with three
// replicas of everything and three gateway nodes, all real processes, harms it
// by a schedule that follows from a seed, and checks that nothing that was
// acknowledged to anybody is lost. `make chaos-short` runs one fault of each
// kind, `make chaos CHAOS_TIME=1h SEED=n` a schedule without end; it needs Linux.
//
// A few hundred devices, shaped like the SDKs, come in through a TCP balancer;
// back ends write desired properties, call methods, leave commands and send
// messages all the while. Everybody writes down what was acknowledged to him.
// Every link to NATS and between its servers goes through a relay of this
// process, which can stop forwarding, delay or reset it: that is a partition.
// One server has its store on a file system of its own, which can be full or
// stand still; that takes root and a loop device.
//
// The seed decides which faults come, upon whom, how long and in which order.
// What the machine makes of it is not repeatable.
package main
