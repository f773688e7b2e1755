// Package direct reads the messages of a stream to which anybody may publish,
// one or some at a time and without a consumer. Its one invariant is that the subject,
// the number and the time of a message are what the server says, whatever its
// publisher has written into the headers.
//
// A direct get answers with the headers of the publisher, and adds its own
// behind them, under names such as Nats-Sequence. A publisher may write these
// names too, may end the headers early, so that what the server has added is
// not seen any more, and may write a status line that looks like the answer
// that there is no message. So an answer whose headers do not account for each
// of its bytes is not believed: the message is read again by the API of
// JetStream, which keeps them apart. Lines that are shorter than they look, for
// want of a space or a carriage return, must not make room for what is hidden; so
// an answer with many lines is read again too.
package direct
