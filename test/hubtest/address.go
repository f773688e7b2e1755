package hubtest

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// FreeAddress returns an address of 127.0.0.0/8 on which every port is free.
// It skips t where the user may not bind them, or has no such address.
func FreeAddress(t *testing.T, ports ...int) string {
	t.Helper()
	var last error
	for range 20 {
		ip := net.IPv4(127, byte(1+rand.IntN(250)), byte(rand.IntN(250)), byte(2+rand.IntN(250))).String()
		if last = bindable(t, ip, ports); last == nil {
			return ip
		}
		if errors.Is(last, fs.ErrPermission) {
			Skip(t, fmt.Sprintf("binding the ports %v needs root: %v", ports, last))
		}
	}
	Skip(t, fmt.Sprintf("no address of 127.0.0.0/8 has the ports %v free: %v", ports, last))
	return ""
}

func bindable(t *testing.T, ip string, ports []int) error {
	var lc net.ListenConfig
	for _, port := range ports {
		l, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		_ = l.Close()
	}
	return nil
}
