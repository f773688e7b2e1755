package subject

// NodeStates is where every node of a hub says how it is: hub.session.node.
func (n Names) NodeStates() string { return n.prefix() + ".session.node" }

// NodeDrain is where one node is asked to close its connections:
// hub.session.drain.{node}.
func (n Names) NodeDrain(node string) string {
	return n.prefix() + ".session.drain." + EncodeToken(node)
}
