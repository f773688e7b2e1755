// Package conformance holds the tests that run Microsoft's own device and service
// SDKs, as they are published, against a real hubgate process. There is no product code
// here and none of the SDKs' code: they are installed by their package managers
// into .cache, at the versions pinned in node, python and java.
//
// # The drivers
//
// Each SDK has a small program beside its pinned versions that calls nothing but
// the SDK's public API and is controlled over its standard input and output, so
// that every scenario is written once, in Go. A command is one JSON line with an
// id, an op and a client name of our choosing; the answer repeats the id and has
// an error when the SDK raised one. Whatever the SDK reports by itself comes as a
// line with an event.
//
//	op         arguments                                              answered when
//	open       connectionString, tokens, or certFile and keyFile;     the SDK is connected
//	           transport, module, caFile
//	send       message                                                the SDK has the PUBACK
//	pump       prefix, window, pauseMillis                            it runs; each message ends in an event confirmed or failed
//	stop                                                              with the counts sent and pending
//	renew      token                                                  the SDK took the new token
//	twin                                                              with the twin, as the SDK shows it
//	patch      patch                                                  the hub has answered a patch of reported properties
//	subscribe  filter: c2d, methods, twin or inputs                   the SDK was asked; what the hub keeps is for the test to see
//	close                                                             the SDK is closed
//
// The argument modelId of open says which model the device has. The argument listen
// makes an SDK whose application must say before that it listens to the cloud's
// messages (Java's) say so. Each message from the cloud is an event message, as the
// SDK shows it. One with the property settle is then settled by the verb in it,
// complete, reject or abandon, where the SDK has such verbs: that ends in an event
// settled.
//
// Once subscribed, every notification of desired properties is an event desired.
// The method echo answers 207 with the payload, empty answers 204 with none, and
// silent makes an event called and never answers. Where the SDK tells that an answer
// has its PUBACK, that is an event answered.
//
// The method thermostat1*echo is the same as echo, for a component.
//
// # The drivers of the service SDKs
//
// A second program, service, does the same for the SDK with which operators speak to
// the hub's HTTP API. Its answers hold the result as the SDK gives it to its
// application, in the names of the hub's own JSON; an error has the HTTP status
// and the hub's answer, where the SDK shows them. Commands run at the same time.
//
//	op                              arguments
//	open                            connectionString of a policy
//	create, update                  identity; conditional: under its etag
//	get, remove, list               deviceId, moduleId, etag; list without deviceId: all devices
//	bulk                            mode create, update or delete; identities; conditional
//	statistics
//	twin, patchTwin, replaceTwin    deviceId, moduleId, patch, etag
//	twinObject                      deviceId, patch, then: two updates by an object that keeps the etag
//	query                           query, kind Twin, Raw or DeviceJob, pageSize, continuation, most: pages at most
//	method                          deviceId, moduleId, method, payload, responseTimeout, connectTimeout
//	schedule                        jobId, condition, start, and patch or method, payload, responseTimeout
//	job, cancelJob, jobs            jobId; jobType, jobStatus, pageSize
//	createConfiguration,            configuration, conditional
//	updateConfiguration
//	configuration,                  configurationId
//	removeConfiguration
//	configurations
//	testQueries                     queries
//	applyConfiguration              deviceId, content
//	digitalTwin, patchDigitalTwin   deviceId, patch
//	command                         deviceId, component, method, payload, responseTimeout
//	feedback, completeFeedback,     lockToken
//	abandonFeedback
//	exportDevices                   container
//
// # Running
//
// go test ./test/conformance runs what the machine has: a toolchain that is
// missing (node and npm, python3, a JDK and mvn, mosquitto_pub), an installation
// that fails, or no right to bind ports 443 and 8883, prints a line beginning with
// SKIPPED and skips.
// HUBGATE_REQUIRE_SDK=1 makes each of these a failure. HUBGATE_BIN names a built
// binary to test in place of one built from this tree. HUBGATE_AZ names a program
// that is az with the extension azure-iot; without it, az is not run. The flag
// -update rewrites the wire transcripts in testdata from what the SDKs send now, but
// for those of the C SDK, which is not run here.
//
// Each suite has a gateway of its own at a free address of 127.0.0.0/8 with the
// standard ports, because every SDK but Node has the ports built in.
package conformance
