package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway/rest"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/sas"
)

// TestServiceAPI asks a hub for its devices, with the connection string that it
// prints, twice on one connection; who has no token gets no second request.
func TestServiceAPI(t *testing.T) {
	t.Parallel()
	p := startDev(t, t.TempDir())
	nc := dialHTTPS(t, p)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(30 * time.Second))
	br := bufio.NewReader(nc)
	token := serviceToken(t, p.ready.ServiceConnectionString)
	for range 2 {
		res := ask(t, nc, br, "GET /devices?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\nAuthorization: "+token+"\r\n\r\n")
		if res.StatusCode != http.StatusOK || res.Close {
			t.Fatalf("GET /devices = %d, Connection: close is %v", res.StatusCode, res.Close)
		}
	}
	res := ask(t, nc, br, "GET /devices?api-version=2021-04-12 HTTP/1.1\r\nHost: h\r\n\r\n")
	if res.StatusCode != http.StatusUnauthorized || !res.Close {
		t.Errorf("without a token: %d, Connection: close is %v", res.StatusCode, res.Close)
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("the connection ends with %v, want EOF", err)
	}
	p.stopCleanly(t)
}

func serviceToken(t *testing.T, connection string) string {
	t.Helper()
	c, err := sas.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sas.DecodeKey(c.SharedAccessKey)
	if err != nil {
		t.Fatal(err)
	}
	return sas.Sign(c.HostName, key, time.Now().Add(time.Hour), c.SharedAccessKeyName)
}

// dialHTTPS connects to the HTTPS port of a hub, whose certificate is checked.
func dialHTTPS(t *testing.T, p *process) net.Conn {
	t.Helper()
	pem, err := os.ReadFile(p.ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	nc, err := (&tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: p.ready.HostName}}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", p.ready.Ports.HTTPS))
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

func ask(t *testing.T, w io.Writer, br *bufio.Reader, request string) *http.Response {
	t.Helper()
	if _, err := io.WriteString(w, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res
}

// TestRefusedHandshake: a request that is no WebSocket handshake comes from somebody
// who has not said who he is; his connection does not wait for the next one.
func TestRefusedHandshake(t *testing.T) {
	t.Parallel()
	p := startDev(t, t.TempDir())
	for _, headers := range []string{"", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7\r\n"} {
		nc := dialHTTPS(t, p)
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(20 * time.Second)) // less than an idle connection has
		br := bufio.NewReader(nc)
		res := ask(t, nc, br, "GET /$iothub/websocket HTTP/1.1\r\nHost: h\r\n"+headers+"\r\n")
		if res.StatusCode < 400 || !res.Close {
			t.Errorf("%q: %d, Connection is %q", headers, res.StatusCode, res.Header["Connection"])
		}
		if _, err := br.ReadByte(); err != io.EOF {
			t.Errorf("%q: the connection ends with %v, want EOF", headers, err)
		}
	}
	p.stopCleanly(t)
}

// TestIdleConns keeps three connections idle where two may be: the oldest goes.
func TestIdleConns(t *testing.T) {
	t.Parallel()
	i := &idleConns{limit: 2}
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	idle := make(chan bool, 8)
	web.Config.ConnState = func(nc net.Conn, state http.ConnState) {
		i.state(nc, state)
		if state == http.StateIdle { // which comes behind the answer
			idle <- true
		}
	}
	web.Start()
	defer web.Close()
	open := func() (net.Conn, *bufio.Reader) {
		nc, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", web.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		nc.SetDeadline(time.Now().Add(30 * time.Second))
		br := bufio.NewReader(nc)
		ask(t, nc, br, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		<-idle
		return nc, br
	}
	first, firstReader := open()
	second, secondReader := open()
	ask(t, first, firstReader, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	<-idle // now second has waited longest
	third, thirdReader := open()
	if _, err := secondReader.ReadByte(); err == nil {
		t.Error("the connection that has waited longest is not closed")
	}
	second.Close()
	for _, c := range []struct {
		nc net.Conn
		br *bufio.Reader
	}{{first, firstReader}, {third, thirdReader}} {
		ask(t, c.nc, c.br, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	}
}

// TestAPIDoorCloses stops a node whose request would go on for ever, and one
// whose request is quick.
func TestAPIDoorCloses(t *testing.T) {
	t.Parallel()
	inside, ended := make(chan bool), make(chan error, 1)
	d := newAPIDoor(&rest.Server{Log: zerolog.Nop()}, config.API{MaxIdle: 10})
	d.handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		inside <- true
		<-r.Context().Done()
		ended <- r.Context().Err()
	})
	web := httptest.NewUnstartedServer(d)
	web.Config.BaseContext = d.context
	web.Start()
	defer web.Close()
	failed := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "GET", web.URL, bytes.NewReader(nil))
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			res.Body.Close()
		}
		failed <- err
	}()
	<-inside
	begin := time.Now()
	d.close(web.Config)
	if took := time.Since(begin); took < requestGrace || took > requestGrace+cancelGrace+5*time.Second {
		t.Errorf("the stop took %v", took)
	}
	select {
	case <-ended:
	default:
		t.Error("the request has outlived the node")
	}
	<-failed
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, httptest.NewRequest("GET", "/devices", nil))
	if rec.Code != http.StatusServiceUnavailable || !strings.Contains(rec.Header().Get("Connection"), "close") {
		t.Errorf("after that: %d %v", rec.Code, rec.Header())
	}
	id, named := map[string][]string(rec.Header())["x-ms-request-id"] // spelled as IoT Hub does
	if body := rec.Body.String(); !named || !strings.Contains(body, "ErrorCode:ServiceUnavailable;") || !strings.Contains(body, "Tracking ID:"+strings.ReplaceAll(id[0], "-", "")) {
		t.Errorf("the request %v is told %s", id, body)
	}
}

// untilTheEnd is a device that does not answer: whoever calls it waits until the call
// is over, and is told what the service of methods says then.
type untilTheEnd struct{ called chan bool }

func (d untilTheEnd) Invoke(ctx context.Context, _ methods.Call) (methods.Answer, error) {
	close(d.called)
	<-ctx.Done()
	return methods.Answer{}, hub.Errorf(hub.GatewayTimeout, "who has called did not wait until d answered")
}

type onePolicy sas.Policy

func (p onePolicy) Lookup(name string) (sas.Policy, bool) { return sas.Policy(p), name == p.Name }

// TestRequestOfANodeThatStops: a request that is cut off because the node stops hears
// that, and not that it was not waited for: it is tried again at another node.
func TestRequestOfANodeThatStops(t *testing.T) {
	t.Parallel()
	policy := sas.Policy{Name: "service", PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey(), Permissions: sas.ServiceConnect}
	device := untilTheEnd{make(chan bool)}
	d := newAPIDoor(&rest.Server{HostName: "h", Policies: onePolicy(policy), Methods: device, Log: zerolog.Nop()}, config.API{MaxIdle: 10})
	web := httptest.NewUnstartedServer(d)
	web.Config.BaseContext = d.context
	web.Start()
	defer web.Close()
	key, err := sas.DecodeKey(policy.PrimaryKey)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan string, 1)
	go func() {
		req, _ := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "POST", web.URL+"/twins/d/methods?api-version=2021-04-12", strings.NewReader(`{"methodName":"m"}`))
		req.Header.Set("Authorization", sas.Sign("h", key, time.Now().Add(time.Hour), "service"))
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			answers <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answers <- fmt.Sprint(res.StatusCode, " ", string(body))
	}()
	<-device.called
	d.close(web.Config)
	if got := <-answers; !strings.HasPrefix(got, "503 ") || !strings.Contains(got, "the node stops") {
		t.Errorf("the answer is %s", got)
	}
}

func TestFitIdle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ idle, most, want int }{{256, 0, 256}, {256, 1024, 64}, {256, 1 << 20, 256}, {0, 1024, 0}} {
		if got := fitIdle(c.idle, c.most); got != c.want {
			t.Errorf("fitIdle(%d, %d) = %d, want %d", c.idle, c.most, got, c.want)
		}
	}
}
