package subject

// EdgeDenied is what does not pass the link of a hub at the edge to the NATS of
// its back end: imports is what nobody there may ask or publish here, exports what
// does not go there. It leaves there what a back-end app may do with the hub, by
// its services and by readers of its streams: no device key passes the link, and
// nobody there forges a message of a device. domain is that of JetStream here.
func (n Names) EdgeDenied(domain string) (imports, exports []string) {
	p, api := n.prefix(), "$JS."+domain+".API."
	private := []string{p + ".session.>", n.Inbox() + ".>", "$KV.>"}
	imports = append([]string{
		p + ".telemetry.>", p + ".events.>", p + ".timeline.>", p + ".feedback.>", p + ".deadletter.>",
		p + ".registry.put.>", p + ".registry.delete.>", p + ".registry.keys.>",
		p + ".authority.>", p + ".configuration.put.>", p + ".configuration.delete.>", p + ".node.>",
		api + "ACCOUNT.>", api + "SERVER.>", api + "META.>", api + "$KV.>",
	}, private...)
	for _, verb := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "RESTORE", "SNAPSHOT", "PEER", "LEADER", "TEMPLATE"} {
		imports = append(imports, api+"STREAM."+verb+".>")
	}
	imports = append(imports, api+"STREAM.MSG.>", api+"DIRECT.>")
	readable := map[string]bool{}
	for _, stream := range n.readable() {
		readable[stream] = true
	}
	for _, stream := range n.Streams() {
		if readable[stream] {
			continue
		}
		imports = append(imports, api+"CONSUMER.*."+stream, api+"CONSUMER.*."+stream+".>", api+"CONSUMER.DURABLE.CREATE."+stream+".>",
			api+"CONSUMER.MSG.NEXT."+stream+".>")
	}
	return imports, private
}
