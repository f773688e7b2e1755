package subject

// QueryName is the name of the query service as nats micro shows it.
func (n Names) QueryName() string { return n.prefix() + "-query" }

// Query is where queries are asked, page by page: hub.query.
func (n Names) Query() string { return n.prefix() + ".query" }

// QueryWatch is where the rows of a query are asked for with all their changes:
// hub.query.watch.
func (n Names) QueryWatch() string { return n.Query() + ".watch" }
