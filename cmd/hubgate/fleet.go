package main

import "context"

// serveQueries answers queries over NATS, and on the service REST API. The
// index is loaded while devices are served already.
func (n *node) serveQueries() error {
	queries, err := n.back.ServeQueries()
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) { _ = queries.Stop() })
	return nil
}
