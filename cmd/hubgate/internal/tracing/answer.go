package tracing

import (
	"fmt"
	"net/http"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// refusedError says that the collector has taken a batch but for some spans.
type refusedError struct{ spans int64 }

func (e *refusedError) Error() string {
	return fmt.Sprintf("the collector has refused %d spans of a batch", e.spans)
}

// judge is what an answer says of a batch, by OTLP's rules (OTLP/HTTP response);
// nil: it was taken. An error has the status and nothing else of what the collector
// has said, who knows what lets the hub in.
func judge(resp *http.Response, said []byte, now time.Time) error {
	err := fmt.Errorf("the collector answers with status %d (%s)%s", resp.StatusCode, http.StatusText(resp.StatusCode), advice(resp.StatusCode))
	switch {
	case resp.StatusCode/100 == 2:
		if n := refused(said); n > 0 && resp.Header.Get("Content-Type") == protobuf {
			return &refusedError{n}
		}
		return nil
	case mayPass(resp.StatusCode):
		return &laterError{retryAfter(resp.Header.Get("Retry-After"), now), err}
	default:
		return err
	}
}

// mayPass reports whether a batch may be taken later that is not now. No other may
// be sent again.
func mayPass(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	default:
		return false
	}
}

// advice is what to do about a status, if that is known.
func advice(status int) string {
	switch {
	case status/100 == 3:
		return ": it is elsewhere, where nothing is sent to unless tracing.otlp_endpoint says so"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return ": tracing.headers does not let this node in"
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return ": tracing.otlp_endpoint is not the base URL of OTLP over HTTP"
	default:
		return ""
	}
}

// refused is how many spans a collector has refused: rejected_spans (1) of
// partial_success (1) of an ExportTraceServiceResponse (OTLP, trace_service.proto).
// What is malformed there refuses none.
func refused(answer []byte) int64 {
	var n int64
	eachField(answer, func(num protowire.Number, typ protowire.Type, value []byte) {
		if num != 1 || typ != protowire.BytesType {
			return
		}
		partial, _ := protowire.ConsumeBytes(value)
		eachField(partial, func(num protowire.Number, typ protowire.Type, value []byte) {
			if num == 1 && typ == protowire.VarintType {
				count, _ := protowire.ConsumeVarint(value)
				n = int64(count) //nolint:gosec // an int64 by its definition
			}
		})
	})
	return n
}

// eachField calls see for each field of a message, up to where it is malformed.
func eachField(message []byte, see func(num protowire.Number, typ protowire.Type, value []byte)) {
	for len(message) > 0 {
		num, typ, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return
		}
		n := protowire.ConsumeFieldValue(num, typ, message[tag:])
		if n < 0 {
			return
		}
		see(num, typ, message[tag:tag+n])
		message = message[tag+n:]
	}
}
