package subject

// NodeStates is where every node of a hub says how it is: hub.session.node.
func (n Names) NodeStates() string { return n.prefix() + ".session.node" }

// NodeDrain is where one node is asked to close its connections:
// hub.session.drain.{node}.
func (n Names) NodeDrain(node string) string {
	return n.prefix() + ".session.drain." + EncodeToken(node)
}

// NodeAlive is where a node tells who asks that it runs under its name:
// hub.session.alive.{node}.
func (n Names) NodeAlive(node string) string {
	return n.prefix() + ".session.alive." + EncodeToken(node)
}
