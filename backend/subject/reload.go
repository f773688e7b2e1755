package subject

// NodeName is the name of the service of each node as nats micro shows it.
func (n Names) NodeName() string { return n.prefix() + "-node" }

// NodeKey is the entry in the metadata of the node service that holds the
// node's name.
const NodeKey = "node"

// NodeReload is where all nodes are asked to read their configuration again:
// hub.node.reload.
func (n Names) NodeReload() string { return n.prefix() + ".node.reload" }

// NodeReloadEach matches [Names.NodeReloadOf] of every node: hub.node.reload.*.
func (n Names) NodeReloadEach() string { return n.NodeReload() + ".*" }

// NodeReloadOf is where one node is asked to: hub.node.reload.{node}, the name
// encoded as ids are.
func (n Names) NodeReloadOf(node string) string { return n.NodeReload() + "." + EncodeToken(node) }
