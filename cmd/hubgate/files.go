package main

// spareFiles is for what is not a peer: JetStream's files, listeners, NATS
// clients.
const spareFiles = 256

// fitFiles lowers limits of peers in a handshake and of connections, 0 being
// none, so that both leave file descriptors to spare of the most that the
// process may open; 0 means that this is not known. A store that can't open a
// file stops storing.
func fitFiles(halfOpen, connections, most int) (int, int) {
	if most <= 0 {
		return halfOpen, connections
	}
	halfOpen = min(halfOpen, max(most/4, 1))
	rest := max(most-halfOpen-spareFiles, most/4, 1)
	if connections == 0 || connections > rest {
		connections = rest
	}
	return halfOpen, connections
}
