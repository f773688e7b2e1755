// Device-go is a device in Go without an SDK: plain MQTT 3.1.1 over TLS, a SAS
// token as the password, and properties in the topic, as Microsoft's page on
// using MQTT directly has it.
//
//	export IOTHUB_DEVICE_CONNECTION_STRING='HostName=…;DeviceId=…;SharedAccessKey=…'
//	go run ./samples/device-go -ca ca.pem
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

func main() {
	ca := flag.String("ca", "", "PEM file of the hub's authority; empty: the system's")
	port := flag.Int("port", 8883, "port of MQTT over TLS")
	count := flag.Int("count", 10, "how many messages to send")
	every := flag.Duration("every", time.Second, "how long to wait in between")
	flag.Parse()
	if err := run(*ca, *port, *count, *every); err != nil {
		fmt.Fprintln(os.Stderr, "device-go:", err)
		os.Exit(1)
	}
}

func run(ca string, port, count int, every time.Duration) error {
	c, err := sas.ParseConnectionString(os.Getenv("IOTHUB_DEVICE_CONNECTION_STRING"))
	if err != nil {
		return fmt.Errorf("read IOTHUB_DEVICE_CONNECTION_STRING: %w", err)
	}
	client, err := connect(c, ca, port)
	if err != nil {
		return err
	}
	defer client.Disconnect(250)
	// The property bag follows the topic: system properties begin with $.
	bag := url.PathEscape("$.ct") + "=" + url.QueryEscape("application/json") + "&" + url.PathEscape("$.ce") + "=utf-8&level=info"
	topic := "devices/" + c.DeviceID + "/messages/events/" + bag
	for n := range count {
		body, err := json.Marshal(map[string]any{"n": n, "temperature": 20 + rand.Float64()})
		if err != nil {
			return fmt.Errorf("write message %d: %w", n, err)
		}
		// With QoS 1 the token is done when JetStream has stored the message.
		if token := client.Publish(topic, 1, false, body); token.Wait() && token.Error() != nil {
			return fmt.Errorf("send message %d: %w", n, token.Error())
		}
		fmt.Printf("stored: %s\n", body)
		if n+1 < count {
			<-time.After(every)
		}
	}
	return nil
}

// connect signs in as the device. The token is made anew at every reconnect.
func connect(c sas.ConnectionString, ca string, port int) (paho.Client, error) {
	key, err := hub.DecodeKey(c.SharedAccessKey)
	if err != nil {
		return nil, fmt.Errorf("read the key of the connection string: %w", err)
	}
	roots, err := trust(ca)
	if err != nil {
		return nil, err
	}
	id := hub.Identity{Device: c.DeviceID}
	opts := paho.NewClientOptions().
		AddBroker(fmt.Sprintf("ssl://%s:%d", c.HostName, port)).
		SetTLSConfig(&tls.Config{RootCAs: roots}).
		SetProtocolVersion(4).
		SetClientID(c.DeviceID).
		SetCleanSession(false).
		SetCredentialsProvider(func() (user, password string) {
			user = c.HostName + "/" + c.DeviceID + "/?api-version=2021-04-12"
			return user, sas.Sign(sas.Resource(c.HostName, id), key, time.Now().Add(time.Hour), "")
		})
	client := paho.NewClient(opts)
	if token := client.Connect(); token.Wait() && token.Error() != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.HostName, token.Error())
	}
	return client, nil
}

func trust(ca string) (*x509.CertPool, error) {
	if ca == "" {
		return x509.SystemCertPool()
	}
	text, err := os.ReadFile(ca)
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New(ca + " holds no certificate")
	}
	return roots, nil
}
