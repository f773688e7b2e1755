package main

import "context"

// serveQueries answers queries over NATS, and on the service REST API. The
// index is loaded while devices are served already, that of jobs as well: who asks
// before has to ask again.
func (n *node) serveQueries() error {
	ctx, cancel := context.WithCancel(context.Background())
	follows := make(chan struct{})
	go func() {
		defer close(follows)
		n.back.FollowJobs(ctx)
	}()
	n.onStop(func(context.Context) {
		cancel()
		<-follows
	})
	queries, err := n.back.ServeQueries()
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) { _ = queries.Stop() })
	return nil
}
