//go:build !linux

package faults

import (
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

func TestFullDisk(t *testing.T) {
	hubtest.Skip(t, "a small file system is made by Linux's mount namespaces")
}

func TestPowerFailsWithGroupSync(t *testing.T) { skipLoopDevices(t) }

func TestPowerFailsWithIntervalSync(t *testing.T) { skipLoopDevices(t) }

func TestDiskThatLosesWrites(t *testing.T) { skipLoopDevices(t) }

func skipLoopDevices(t *testing.T) {
	t.Helper()
	hubtest.Skip(t, "a device that loses what is not synced is made by Linux's loop devices")
}
