package direct

// What the server says in place of a message.
const (
	statusNotFound = "404"
	statusAbsent   = "503" // nobody answers
	statusEnd      = "204" // of a batch
)

const (
	statusHeader       = "Status" // by nats.go, from the first line
	descriptionHeader  = "Description"
	pendingHeader      = "Nats-Num-Pending"
	lastSequenceHeader = "Nats-Last-Sequence"
)

// statusOf returns the code of a status that the server has written, and not a
// publisher: behind the headers of a publisher come those of the server, and if
// they are not seen, there are more bytes than are accounted for. See maxLines.
func statusOf(m Reply) (code string, ok bool) {
	const statusLines = 4
	code = m.Header.Get(statusHeader)
	n := canonicalBytes(m.Header)
	if code == "" || len(m.Data) > 0 || len(m.Header) > statusLines {
		return code, false
	}
	n -= len(statusHeader) + len(": \r\n") - len(" ") // it is in the first line
	if text := m.Header.Get(descriptionHeader); text != "" {
		n -= len(descriptionHeader) + len(": \r\n") - len(" ")
	}
	return code, len(headerLine)+n == m.HeaderBytes
}
