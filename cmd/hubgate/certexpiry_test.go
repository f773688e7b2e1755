package main

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hubgate/hubgate/trust/trusttest"
)

// A revocation list without a next update does not end, and has no place in a forecast
// of what does.
func TestListWithoutAnEnd(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var list pkix.CertificateList // nothing else writes a list without an end
	if _, err := asn1.Unmarshal(trusttest.Root(t, "ca").Revoke(t, now.Add(time.Hour)), &list); err != nil {
		t.Fatal(err)
	}
	list.TBSCertList.Raw, list.TBSCertList.NextUpdate = nil, time.Time{}
	der, err := asn1.Marshal(list)
	path := filepath.Join(t.TempDir(), "endless.crl")
	if err == nil {
		err = os.WriteFile(path, der, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if all, err := (certFile{"revocation list", path}).endings(now); err != nil || len(all) > 0 {
		t.Errorf("endings: %+v, %v", all, err)
	}
}
