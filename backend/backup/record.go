package backup

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// record is one message of a bucket: a line of JSON.
type record struct {
	Key    string      `json:"key"`
	Seq    uint64      `json:"revision"`
	Time   time.Time   `json:"time"`
	Header nats.Header `json:"header,omitempty"`
	Value  []byte      `json:"value,omitempty"` // base64
}

// recordWriter writes the records of a bucket.
type recordWriter struct {
	zip *gzip.Writer
	enc *json.Encoder
}

func newRecordWriter(w io.Writer) (*recordWriter, error) {
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	return &recordWriter{zip: zip, enc: json.NewEncoder(zip)}, nil
}

func (w *recordWriter) put(r record) error {
	if err := w.enc.Encode(r); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

func (w *recordWriter) close() error { return w.zip.Close() }

// eachRecord calls visit for the records that r has. It fails when there are
// more or fewer than the manifest says.
func eachRecord(r io.Reader, a Asset, visit func(record) error) error {
	damaged := func(err error) error {
		return hub.Errorf(hub.ArgumentInvalid, "the backup is damaged: %s is not a list of the values of a bucket: %w", a.File, err)
	}
	zip, err := gzip.NewReader(r)
	if err != nil {
		return damaged(err)
	}
	dec := json.NewDecoder(bufio.NewReader(zip))
	for n := uint64(0); ; n++ {
		var rec record
		err := dec.Decode(&rec)
		if errors.Is(err, io.EOF) && n == a.Messages {
			return nil
		}
		if err == nil && (rec.Key == "" || n == a.Messages) {
			err = fmt.Errorf("it does not have the %d records that the manifest names", a.Messages)
		}
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("it ends after %d records, and the manifest names %d", n, a.Messages)
		}
		if err != nil {
			return damaged(err)
		}
		if err := visit(rec); err != nil {
			return err
		}
	}
}

// limitMarker reports a marker by which the server says that a key has come to
// its time. It is for those who watched then.
func limitMarker(h nats.Header) bool { return h.Get(jetstream.MarkerReasonHeader) != "" }

// sourceHeader is the server's note of where a value comes from that a bucket has from
// another one, which only a server may write. Without it the bucket asks for all anew.
const sourceHeader = "Nats-Stream-Source"

// message makes a record to one that is published again. What its first writer
// had expected, and that it is no duplicate, was for then.
func (r record) message(to string) *nats.Msg {
	m := nats.NewMsg(to)
	m.Data = r.Value
	for name, values := range r.Header {
		if !strings.HasPrefix(name, "Nats-Expected-") && name != jetstream.MsgIDHeader && name != sourceHeader {
			m.Header[name] = values
		}
	}
	return m
}
