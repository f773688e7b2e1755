package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(mainWith(os.Args[1:]))
}

// mainWith runs a command until it ends or a signal asks for its end. A second
// signal kills, as without us.
func mainWith(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{env: os.Environ(), out: os.Stdout, errOut: os.Stderr}
	return a.run(ctx, args)
}
