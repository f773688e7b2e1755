package main

import (
	"fmt"
	"net/url"
	"strings"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// messages is the filter of cloud-to-device messages.
func (c credentials) messages() string {
	return "devices/" + c.device + "/messages/devicebound/#"
}

// takeMessage handles a cloud-to-device message. The client sends PUBACK when it
// returns; that completes the message, which else comes again. A message can
// come twice, when the connection is lost in between: $.mid tells.
func takeMessage(m paho.Message) {
	_, bag, _ := strings.Cut(m.Topic(), "/messages/devicebound/")
	fmt.Printf("message: %s %v\n", m.Payload(), parseProperties(bag))
}

// parseProperties reads name=value pairs. A plus is a plus here, unlike in
// HTML forms, so url.ParseQuery would not do.
func parseProperties(bag string) map[string]string {
	properties := map[string]string{}
	for pair := range strings.SplitSeq(bag, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, badName := url.PathUnescape(name)
		value, badValue := url.PathUnescape(value)
		if badName == nil && badValue == nil && name != "" {
			properties[name] = value // those of the system are $.mid, $.to and the like
		}
	}
	return properties
}
