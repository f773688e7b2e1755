package iothub

// ridOf returns the request id of a topic's query, $rid={rid}[&…].
func ridOf(query string) string { return parameter(query, "$rid") }
