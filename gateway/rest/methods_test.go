package rest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

// answers is a device that says to every call the same.
func answers(status int, payload string) callee {
	return func(context.Context, methods.Call) (methods.Answer, error) {
		return methods.Answer{Status: status, Payload: []byte(payload)}, nil
	}
}

// echoes is a device that answers with what it was sent.
func echoes(_ context.Context, c methods.Call) (methods.Answer, error) {
	return methods.Answer{Status: 200, Payload: fmt.Appendf(nil, `{"name":%q,"payload":%s,"response":%q,"connect":%q}`, c.Method, c.Payload, c.ResponseTimeout, c.ConnectTimeout)}, nil
}

func TestMethod(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.devices.connect(hub.Identity{Device: "dev1"}, echoes)
	h.devices.connect(hub.Identity{Device: "dev1", Module: "cam"}, answers(222, ""))
	tests := map[string]struct{ path, body, want string }{
		"defaults":     {"/twins/dev1/methods", `{"methodName":"m"}`, `{"status":200,"payload":{"name":"m","payload":null,"response":"30s","connect":"0s"}}`},
		"all of it":    {"/twins/dev1/methods", `{"methodName":"m","payload":{"a":[1.50,"<&>"]},"responseTimeoutInSeconds":300,"connectTimeoutInSeconds":300}`, `{"status":200,"payload":{"name":"m","payload":{"a":[1.50,"<&>"]},"response":"5m0s","connect":"5m0s"}}`},
		"null":         {"/twins/dev1/methods", `{"methodName":"m","payload":null,"responseTimeoutInSeconds":null,"more":{}}`, `{"status":200,"payload":{"name":"m","payload":null,"response":"30s","connect":"0s"}}`},
		"a string":     {"/twins/dev1/methods", `{"methodName":"m","payload":"x"}`, `{"status":200,"payload":{"name":"m","payload":"x","response":"30s","connect":"0s"}}`},
		"of Explorer":  {"/twins%2Fdev1%2Fmethods", `{"methodName":"m","payload":1}`, `{"status":200,"payload":{"name":"m","payload":1,"response":"30s","connect":"0s"}}`},
		"of a module":  {"/twins/dev1/modules/cam/methods", `{"methodName":"someMethodToInvoke","responseTimeoutInSeconds":5,"connectTimeoutInSeconds":5}`, `{"status":222,"payload":null}`},
		"of its own 0": {"/twins/dev1/methods", `{"methodName":"m","responseTimeoutInSeconds":0}`, `{"status":200,"payload":{"name":"m","payload":null,"response":"30s","connect":"0s"}}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if res, body := h.ask(t, "POST", tt.path, tt.body); res.StatusCode != 200 || body != tt.want || res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("%d %v %s, want %s", res.StatusCode, res.Header, body, tt.want)
			}
		})
	}
}

// TestMethodRefused has the body of every error as it goes over the wire.
func TestMethodRefused(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.devices.connect(hub.Identity{Device: "dev1"}, func(ctx context.Context, c methods.Call) (methods.Answer, error) {
		switch c.Method {
		case "silent":
			<-ctx.Done()
			return methods.Answer{}, hub.Errorf(hub.GatewayTimeout, "dev1 has not answered in time")
		case "lost":
			return methods.Answer{}, hub.Errorf(hub.ConnectionLost, "dev1 lost its connection before it answered")
		case "busy":
			return methods.Answer{}, hub.Errorf(hub.TooManyCalls, "dev1 has too many calls")
		case "text":
			return methods.Answer{Status: 200, Payload: []byte("hello")}, nil
		case "latin":
			return methods.Answer{Status: 200, Payload: []byte("\"\xFF\"")}, nil
		default:
			return methods.Answer{Status: 200, Payload: []byte(strings.Repeat(" ", methods.MaxPayload) + "1")}, nil
		}
	})
	escaped := func(code hub.Code, text string) string {
		return fmt.Sprintf(`{"Message":"{\"errorCode\":%d,\"trackingId\":\"ID-G:0\",\"message\":\"%s\",\"info\":{},\"timestampUtc\":\"T\"}","ExceptionMessage":""}`, code, text)
	}
	tests := map[string]struct {
		path, body string
		code       hub.Code
		want       string
	}{
		"no device":  {"/twins/gone/methods", `{"methodName":"m"}`, hub.DeviceNotFound, `{"Message":"ErrorCode:DeviceNotFound;the device gone does not exist","ExceptionMessage":"Tracking ID:ID-G:0"}`},
		"no module":  {"/twins/dev1/modules/gone/methods", `{"methodName":"m"}`, hub.DeviceNotFound, `{"Message":"ErrorCode:DeviceNotFound;the module dev1/gone does not exist","ExceptionMessage":"Tracking ID:ID-G:0"}`},
		"away":       {"/twins/dev1/modules/cam/methods", `{"methodName":"m"}`, hub.DeviceNotOnline, escaped(hub.DeviceNotOnline, "dev1/cam is not connected, the connect timeout is 0, so it was not waited for")},
		"stays away": {"/twins/dev1/modules/cam/methods", `{"methodName":"m","connectTimeoutInSeconds":1}`, hub.DeviceNotOnline, escaped(hub.DeviceNotOnline, "Timed out waiting for device to connect: dev1/cam is not connected after 1s")},
		"silent":     {"/twins/dev1/methods", `{"methodName":"silent","responseTimeoutInSeconds":5}`, hub.GatewayTimeout, escaped(hub.GatewayTimeout, "Timed out waiting for the response from device: dev1 has not answered in time")},
		"lost":       {"/twins/dev1/methods", `{"methodName":"lost"}`, hub.ConnectionLost, escaped(hub.ConnectionLost, "dev1 lost its connection before it answered")},
		"busy":       {"/twins/dev1/methods", `{"methodName":"busy"}`, hub.TooManyCalls, escaped(hub.TooManyCalls, "dev1 has too many calls")},
		"no JSON":    {"/twins/dev1/methods", `{"methodName":"text"}`, hub.BadDeviceAnswer, escaped(hub.BadDeviceAnswer, "dev1 has answered with the status 200 and a payload that is not JSON")},
		"no UTF-8":   {"/twins/dev1/methods", `{"methodName":"latin"}`, hub.BadDeviceAnswer, escaped(hub.BadDeviceAnswer, "dev1 has answered with the status 200 and a payload that is not JSON")},
		"too much": {
			"/twins/dev1/methods", `{"methodName":"long"}`, hub.MessageTooLarge,
			escaped(hub.MessageTooLarge, "the answer of dev1, with status 200, has 131073 bytes, a method takes 131072"),
		},
		"no name":       {"/twins/dev1/methods", `{"payload":1}`, hub.ArgumentNull, escaped(hub.ArgumentNull, "the call has no methodName")},
		"no body":       {"/twins/dev1/methods", ``, hub.ArgumentNull, escaped(hub.ArgumentNull, "the request has no body: it needs JSON")},
		"an odd name":   {"/twins/dev1/methods", `{"methodName":"a/b"}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, "the method name may not hold '/': use printable ASCII without space / ? # + % &")},
		"a name in UTF": {"/twins/dev1/methods", `{"methodName":"öffnen"}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, "the method name may not hold 'ö': use printable ASCII without space / ? # + % &")},
		"a name of 1":   {"/twins/dev1/methods", `{"methodName":1}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, `the JSON has a number at \\\"/methodName\\\", where that can't be`)},
		"a list":        {"/twins/dev1/methods", `[1]`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, `the JSON is an array, which it can't be`)},
		"a list inside": {"/twins/dev1/methods", `{"methodName":[]}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, `the JSON has an array at \\\"/methodName\\\", where that can't be`)},
		"not an id":     {"/twins/a%20b/methods", `{"methodName":"m"}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, `\\\"a b\\\" is not the id of a device or module: see the characters that ids have`)},
		"short":         {"/twins/dev1/methods", `{"methodName":"m","responseTimeoutInSeconds":4}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, "the response timeout is 4s, it may be 5s to 5m0s")},
		"long":          {"/twins/dev1/methods", `{"methodName":"m","responseTimeoutInSeconds":301}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, "responseTimeoutInSeconds is 301, it may be up to 300")},
		"very long":     {"/twins/dev1/methods", `{"methodName":"m","connectTimeoutInSeconds":9223372036854775807}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, "connectTimeoutInSeconds is 9223372036854775807, it may be up to 300")},
		"negative":      {"/twins/dev1/methods", `{"methodName":"m","connectTimeoutInSeconds":-1}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, "connectTimeoutInSeconds is -1, it may be up to 300")},
		"connect first": {"/twins/dev1/methods", `{"methodName":"m","responseTimeoutInSeconds":10,"connectTimeoutInSeconds":11}`, hub.ArgumentInvalid, escaped(hub.ArgumentInvalid, "Device connection timeout 11s cannot be longer than an overall call timeout 10s")},
		"a large payload": {
			"/twins/dev1/methods", `{"methodName":"m","payload":"` + strings.Repeat("x", methods.MaxPayload) + `"}`, hub.MessageTooLarge,
			escaped(hub.MessageTooLarge, "the payload has 131074 bytes, a method takes 131072"),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, body := h.ask(t, "POST", tt.path, tt.body)
			checkError(t, res, body, tt.code, tt.want)
		})
	}
}

// A call ends before the client's own clock says so: Node waits as many seconds
// as both timeouts have.
func TestMethodEndsEarly(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	left := make(chan time.Duration, 1)
	h.devices.connect(hub.Identity{Device: "dev1"}, func(ctx context.Context, _ methods.Call) (methods.Answer, error) {
		end, _ := ctx.Deadline()
		left <- time.Until(end)
		return methods.Answer{Status: 200}, nil
	})
	h.ask(t, "POST", "/twins/dev1/methods", `{"methodName":"m","responseTimeoutInSeconds":5}`)
	if d := <-left; d > 5*time.Second-early || d < 4*time.Second {
		t.Errorf("the device has %v to answer", d)
	}
}

// A device that comes within the connect timeout is called.
func TestMethodOfWhoComes(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	id := hub.Identity{Device: "dev1"}
	done := make(chan string, 1)
	go func() {
		_, body := h.ask(t, "POST", "/twins/dev1/methods", `{"methodName":"m","connectTimeoutInSeconds":30}`)
		done <- body
	}()
	comes := h.Methods.(interface{ Callable(id hub.Identity) })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	h.devices.connect(id, answers(201, `[]`))
	for {
		comes.Callable(id)
		select {
		case body := <-done:
			if body != `{"status":201,"payload":[]}` {
				t.Errorf("got %s", body)
			}
			return
		case <-tick.C:
		}
	}
}

// Who goes away before the device answers is not waited for.
func TestMethodOfWhoGoes(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	called, ended := make(chan bool), make(chan bool)
	h.devices.connect(hub.Identity{Device: "dev1"}, func(ctx context.Context, _ methods.Call) (methods.Answer, error) {
		close(called)
		<-ctx.Done()
		close(ended)
		return methods.Answer{}, hub.Errorf(hub.GatewayTimeout, "dev1 has not answered in time")
	})
	nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.web.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	const body = `{"methodName":"m","responseTimeoutInSeconds":300}`
	w := bufio.NewWriter(nc)
	fmt.Fprintf(w, "POST /twins/dev1/methods%s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nAuthorization: %s\r\n\r\n", version, len(body), h.Policies.(keyring).token(t, "service", hostName))
	io.WriteString(w, body)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	<-called
	nc.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the call goes on")
	}
}
