package main

import "testing"

func TestAboutPeer(t *testing.T) {
	for line, want := range map[string][2]string{
		"http: TLS handshake error from 192.0.2.7:40112: EOF":                                                          {"192.0.2.7:40112", "the TLS handshake failed: EOF"},
		"http: TLS handshake error from [2001:db8::1]:5: tls: no cipher suite supported":                               {"[2001:db8::1]:5", "the TLS handshake failed: tls: no cipher suite supported"},
		"http: TLS handshake error from 192.0.2.7:5: read tcp 192.0.2.1:443->192.0.2.7:5: i/o timeout":                 {"192.0.2.7:5", "the TLS handshake was not finished in time"},
		"http: TLS handshake error from 192.0.2.7:5: read tcp 192.0.2.1:443->192.0.2.7:5: read: connection reset by x": {"192.0.2.7:5", "the TLS handshake failed"},
		"http: panic serving 192.0.2.7:5: boo":                                                                         {},
		"http: Accept error: too many open files; retrying in 5ms":                                                     {},
		"http: TLS handshake error from somebody: EOF":                                                                 {},
		"": {},
	} {
		remote, reason, ok := aboutPeer(line)
		if got := [2]string{remote, reason}; got != want || ok != (want[0] != "") {
			t.Errorf("%q is about %q, %v, want %q", line, got, ok, want)
		}
	}
}
