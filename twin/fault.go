package twin

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// ErrorBody is the body of $iothub/twin/res/{status} for a request that failed:
// IoT Hub's JSON with errorCode (a number: the Node SDK takes an answer without
// it for a success), trackingId, message and timestampUtc. The status is that
// of [hub.CodeOf] err. Of an error without a code the device learns no details.
func ErrorBody(err error, now time.Time) []byte {
	code := hub.CodeOf(err)
	text := code.Hint()
	if e, ok := errors.AsType[*hub.Error](err); ok {
		text = e.Message
	}
	now = now.UTC()
	dst := append([]byte(nil), `{"errorCode":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"trackingId":"`...)
	dst = append(dst, trackingID(now)...)
	dst = append(dst, `","message":`...)
	dst = appendString(dst, "ErrorCode:"+code.Name()+";"+text)
	dst = append(dst, `,"timestampUtc":"`...)
	dst = now.AppendFormat(dst, "2006-01-02T15:04:05.0000000Z")
	return append(dst, '"', '}')
}

// trackingID names one failure, in IoT Hub's form.
func trackingID(now time.Time) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails; see crypto/rand
	return hex.EncodeToString(b[:]) + "-G:0-TimeStamp:" + now.Format("01/02/2006 15:04:05")
}
