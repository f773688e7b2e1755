// Hubgate runs a hub that devices with Azure IoT SDKs connect to, and manages
// it. It reads flags, environment and files, wires the packages of this module
// together and handles signals; it holds no rule of its own.
//
// A node is started by dev.go or serve.go, which share node.go. All other
// commands talk to a running hub over NATS.
package main
