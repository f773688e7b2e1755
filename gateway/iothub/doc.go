// Package iothub is the face that speaks IoT Hub's device protocol: its user
// names and SAS tokens, its fixed topics and its subscription filters. One
// file per conversation; what a message means is for the feature packages to
// say. It keeps the rule of the real service that an unmodified Azure IoT SDK
// relies on, and names the SDK where a rule serves one.
package iothub
