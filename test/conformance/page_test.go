package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// TestPage connects devices without an SDK, as Microsoft's page about using MQTT
// directly has it: device id as client id, user name with api-version, a token as
// password, properties in the topic.
func TestPage(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	t.Run("group", func(t *testing.T) {
		for _, c := range []struct {
			name string
			run  func(t *testing.T, g *gateway)
		}{
			{"mosquitto_pub", mosquittoPub},
			{"mosquitto_pub refused", mosquittoRefused},
			{"token expires", tokenExpires},
			{"paho for Python", pahoPython},
			{"paho for Go over mqtt", func(t *testing.T, g *gateway) { pahoGo(t, g, "ssl://"+g.Ready.HostName+":8883") }},
			{"paho for Go over ws", func(t *testing.T, g *gateway) {
				pahoGo(t, g, "wss://"+g.Ready.HostName+":443/$iothub/websocket")
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(t, g.in(t))
			})
		}
	})
}

// mosquitto runs mosquitto_pub as a device and returns its error.
func mosquitto(t *testing.T, g *gateway, id, password string, stdin []byte, topic string, how ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	argv := append([]string{
		"-h", g.Ready.HostName, "-p", "8883", "--cafile", g.Ready.CAFile, "-V", "mqttv311", "-q", "1",
		"-i", id, "-u", g.Ready.HostName + "/" + id + "/?api-version=2021-04-12", "-P", password, "-t", topic,
	}, how...)
	cmd := exec.CommandContext(ctx, "mosquitto_pub", argv...)
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mosquitto_pub: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// mosquittoPub sends 200 lines over one connection, and a hostile property bag and
// a binary body over others.
func mosquittoPub(t *testing.T, g *gateway) {
	require(t, "mosquitto_pub")
	id := deviceName(t)
	who := g.create(id)
	password := g.sas(id, time.Hour)
	topic := "devices/" + id + "/messages/events/"
	var want []message
	var lines bytes.Buffer
	for i := range 200 {
		m := message{
			Body: fmt.Appendf(nil, `{"n":%d}`, i), ContentType: "application/json", ContentEncoding: "utf-8",
			Properties: [][2]string{{"batch", "1 of 1"}},
		}
		lines.Write(append(m.Body, '\n'))
		want = append(want, m)
	}
	bag := "$.ct=application%2Fjson&$.ce=utf-8&batch=1%20of%201"
	if err := mosquitto(t, g, id, password, lines.Bytes(), topic+bag, "-l"); err != nil {
		t.Fatal(err)
	}
	all := message{Body: telemetry(same)[0].Body, MessageID: "all", Properties: hostile}
	if err := mosquitto(t, g, id, password, all.Body, topic+bagOf(all), "-s"); err != nil {
		t.Fatal(err)
	}
	bare := message{Body: []byte("no bag, no slash")}
	if err := mosquitto(t, g, id, password, nil, strings.TrimSuffix(topic, "/"), "-m", string(bare.Body)); err != nil {
		t.Fatal(err)
	}
	want = append(want, all, bare)
	compare(t, id, who, want, g.messages(id, len(want)))
}

// mosquittoRefused checks the return codes that a plain client sees: 5 for a wrong
// or expired token and an unknown device, 3 for a disabled one.
func mosquittoRefused(t *testing.T, g *gateway) {
	require(t, "mosquitto_pub")
	id := deviceName(t)
	who := g.create(id)
	g.create(id + "-off")
	off := g.sas(id+"-off", time.Hour)
	g.cli("device", "disable", id+"-off")
	wrong := identity{ConnectionString: withKey(who.ConnectionString, otherKey)}
	const unauthorized, unavailable = "not authorised", "broker unavailable"
	for _, c := range []struct{ name, id, password, want string }{
		{"wrong key", id, sign(g.Ready.HostName, id, wrong, -anHour), unauthorized},
		{"expired token", id, sign(g.Ready.HostName, id, who, ago), unauthorized},
		{"another device's token", id, off, unauthorized},
		{"unknown device", id + "-x", sign(g.Ready.HostName, id+"-x", wrong, -anHour), unauthorized},
		{"no token", id, "", unauthorized},
		{"disabled device", id + "-off", off, unavailable},
	} {
		err := mosquitto(t, g, c.id, c.password, nil, "devices/"+c.id+"/messages/events/", "-m", "x")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	// Within the allowance for clock skew an expired token is good.
	late := sign(g.Ready.HostName, id, who, skew/2)
	if err := mosquitto(t, g, id, late, nil, "devices/"+id+"/messages/events/", "-m", "x"); err != nil {
		t.Errorf("token expired %v ago: %v, want success", skew/2, err)
	}
}

// pahoPython sends 200 messages with paho-mqtt.
func pahoPython(t *testing.T, g *gateway) {
	python := installPython(t)
	id := deviceName(t)
	who := g.create(id)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "python/page.py",
		g.Ready.HostName, g.Ready.CAFile, id, g.sas(id, time.Hour), "200").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(`"done"`)) {
		t.Fatalf("page.py: %v\n%s", err, out)
	}
	var want []message
	for i := range 200 {
		body, err := json.Marshal(map[string]int{"id": i})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, message{
			Body:       bytes.Replace(body, []byte(":"), []byte(": "), 1), // as Python prints JSON
			MessageID:  fmt.Sprintf("p-%d", i),
			Properties: [][2]string{{"id", fmt.Sprint(i)}},
		})
	}
	compare(t, id, who, want, g.messages(id, len(want)))
}

// tokenExpires checks that a connection does not outlive its token and the
// allowance for clock skew, and that the events say why it ended.
func tokenExpires(t *testing.T, g *gateway) {
	id := deviceName(t)
	who := g.create(id)
	const life = 10 * time.Second // long enough to connect on a busy machine
	begin := time.Now()
	lost := make(chan error, 1)
	options := pahoOptions(t, g, id, "ssl://"+g.Ready.HostName+":8883").
		SetPassword(sign(g.Ready.HostName, id, who, skew-life)).
		SetConnectionLostHandler(func(_ paho.Client, err error) { lost <- err })
	client := paho.NewClient(options)
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	select {
	case <-lost:
	case <-time.After(patience):
		t.Fatalf("the connection outlived its token by %v", patience-life)
	}
	end := g.awaitEnd(id, "disconnect with code 401003", func(e event) bool { return e.Code == 401003 })
	// An expiry has whole seconds.
	if took := end.Time.Sub(begin); took < life-time.Second || took > life+2*time.Second {
		t.Errorf("the connection lived %v, want about %v", took, life)
	}
}

// pahoGo sends the 200 messages of the main scenario with paho.mqtt.golang.
func pahoGo(t *testing.T, g *gateway, broker string) {
	id := deviceName(t)
	who := g.create(id)
	client := paho.NewClient(pahoOptions(t, g, id, broker).SetPassword(g.sas(id, time.Hour)))
	if token := client.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	all := telemetry(same)
	var tokens []paho.Token
	for _, m := range all {
		tokens = append(tokens, client.Publish("devices/"+id+"/messages/events/"+bagOf(m), 1, false, m.Body))
	}
	for i, token := range tokens {
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatalf("publish message %d: %v", i, token.Error())
		}
	}
	compare(t, id, who, all, g.messages(id, len(all)))
	client.Disconnect(100)
}

// pahoOptions are those of a device, but for the password.
func pahoOptions(t *testing.T, g *gateway, id, broker string) *paho.ClientOptions {
	t.Helper()
	return paho.NewClientOptions().
		AddBroker(broker).
		SetClientID(id).
		SetUsername(g.Ready.HostName + "/" + id + "/?api-version=2021-04-12").
		SetProtocolVersion(4).
		SetAutoReconnect(false).
		SetTLSConfig(trusting(t, g))
}

func same(m message) message { return m }

// bagOf writes the property bag of a message, with the system names unescaped.
func bagOf(m message) string {
	var pairs []string
	add := func(name, value string) {
		pairs = append(pairs, name+"="+escape(value))
	}
	for _, p := range [][2]string{
		{"$.mid", m.MessageID},
		{"$.cid", m.CorrelationID},
		{"$.uid", m.UserID},
		{"$.to", m.To},
		{"$.ct", m.ContentType},
		{"$.ce", m.ContentEncoding},
		{"$.exp", m.Expiry},
		{"$.ctime", m.CreationTime},
		{"$.sub", m.Component},
	} {
		if p[1] != "" {
			add(p[0], p[1])
		}
	}
	if m.Security {
		add("$.ifid", securityInterface)
	}
	for _, p := range m.Properties {
		add(escape(p[0]), p[1])
	}
	return strings.Join(pairs, "&")
}

// escape percent-encodes as the SDKs do: a space is %20, never a plus.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
