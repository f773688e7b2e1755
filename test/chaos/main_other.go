//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "chaos: the harness needs Linux (loopback addresses, mount namespaces, SIGSTOP)")
	os.Exit(1)
}
