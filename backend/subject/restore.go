package subject

// RestoreStream is the stream that is there while a hub is being restored from a
// backup, HUB_RESTORE. Nodes do not start beside it.
func (n Names) RestoreStream() string { return n.upper() + "_RESTORE" }

// Restore is the subject of [Names.RestoreStream], to which nobody publishes.
func (n Names) Restore() string { return n.prefix() + ".restore" }
