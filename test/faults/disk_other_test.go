//go:build !linux

package faults

import (
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

func TestFullDisk(t *testing.T) {
	hubtest.Skip(t, "a small file system is made by Linux's mount namespaces")
}
