package pki

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// OpenIssuer finds the authority of a development hub that issues certificates
// for its devices, device-ca.pem and device-ca.key in dir, or makes it. It is
// not the authority that devices trust: what vouches for a device never
// vouches for a hub.
func OpenIssuer(dir string, now time.Time) (certFile, keyFile string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", fmt.Errorf("make the directory of certificates: %w", err)
	}
	certFile, keyFile = filepath.Join(dir, "device-ca.pem"), filepath.Join(dir, "device-ca.key")
	_, err = openAuthority("Hubgate development device CA", certFile, keyFile, now)
	return certFile, keyFile, err
}
