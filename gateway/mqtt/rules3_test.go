package mqtt_test

import (
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

const v3 = mqtt.V311

// The names of these tests hold the statements of MQTT 3.1.1, appendix B.

func TestRefuse3Format(t *testing.T) {
	refuse(t, v3, map[string]refusal{
		"[MQTT3-1.5.3-1] client id with a stray byte":             {wire: connect3(2, str("a\xff")), reason: malformed},
		"[MQTT3-1.5.3-1] client id with a surrogate":              {wire: connect3(2, str("a\xed\xa0\x80")), reason: malformed},
		"[MQTT3-1.5.3-1] client id with a surrogate pair":         {wire: connect3(2, str("\xed\xa0\x81\xed\xb0\x80")), reason: malformed},
		"[MQTT3-1.5.3-1] topic in an overlong form":               {wire: wire(0x30, str("abcdefgh\xc0\xaf")), reason: malformed},
		"[MQTT3-1.5.3-1] topic that ends within a character":      {wire: wire(0x30, str("abcdefgh\xe2\x82")), reason: malformed},
		"[MQTT3-1.5.3-1] topic above U+10FFFF":                    {wire: wire(0x30, str("\xf4\x90\x80\x80")), reason: malformed},
		"[MQTT3-1.5.3-2] client id with U+0000":                   {wire: connect3(2, str("a\x00b")), reason: malformed},
		"[MQTT3-1.5.3-2] long client id with U+0000":              {wire: connect3(2, str("abcdefghijklmnop\x00qrs")), reason: malformed},
		"[MQTT3-1.5.3-2] client id with U+0000 beside other text": {wire: connect3(2, str("häuser\x00am see")), reason: malformed},

		"[MQTT3-2.2.2-2] [MQTT3-2.2.2-1] CONNECT flags":   {wire: wire(0x11, str("MQTT"), 4, 2, num(60), str("c")), reason: malformed},
		"[MQTT3-2.2.2-2] [MQTT3-2.2.2-1] CONNACK flags":   {wire: wire(0x22, 0, 0), reason: malformed},
		"[MQTT3-2.2.2-2] [MQTT3-2.2.2-1] PUBACK flags":    {wire: wire(0x42, num(1)), reason: malformed},
		"[MQTT3-2.2.2-2] [MQTT3-2.2.2-1] PUBREC flags":    {wire: wire(0x58, num(1)), reason: malformed},
		"[MQTT3-2.2.2-2] [MQTT3-2.2.2-1] PUBCOMP flags":   {wire: wire(0x72, num(1)), reason: malformed},
		"[MQTT3-2.2.2-2] [MQTT3-2.2.2-1] SUBACK flags":    {wire: wire(0x91, num(1), 0), reason: malformed},
		"[MQTT3-2.2.2-2] [MQTT3-2.2.2-1] UNSUBACK flags":  {wire: wire(0xB2, num(1)), reason: malformed},
		"[MQTT3-2.2.2-2] [MQTT3-2.2.2-1] PINGREQ flags":   {wire: wire(0xC1), reason: malformed},
		"[MQTT3-2.2.2-2] [MQTT3-2.2.2-1] PINGRESP flags":  {wire: wire(0xDF), reason: malformed},
		"[MQTT3-3.6.1-1] [MQTT3-2.2.2-2] PUBREL flags":    {wire: wire(0x60, num(1)), reason: malformed},
		"[MQTT3-3.6.1-1] PUBREL with DUP, as in MQTT 3.1": {wire: wire(0x6A, num(1)), reason: malformed},
		"[MQTT3-3.8.1-1] SUBSCRIBE flags":                 {wire: wire(0x80, num(1), str("a"), 0), reason: malformed},
		"[MQTT3-3.10.1-1] UNSUBSCRIBE flags":              {wire: wire(0xA0, num(1), str("a")), reason: malformed},
		"[MQTT3-3.14.1-1] DISCONNECT flags":               {wire: wire(0xE1), reason: malformed},

		"[MQTT3-2.3.1-1] PUBLISH with identifier 0":        {wire: wire(0x32, str("t"), num(0)), reason: protocol},
		"[MQTT3-2.3.1-1] PUBLISH without its identifier":   {wire: wire(0x32, str("t")), reason: malformed},
		"[MQTT3-2.3.1-1] SUBSCRIBE with identifier 0":      {wire: wire(0x82, num(0), str("a"), 0), reason: protocol},
		"[MQTT3-2.3.1-1] UNSUBSCRIBE with identifier 0":    {wire: wire(0xA2, num(0), str("a")), reason: protocol},
		"[MQTT3-2.3.1-6] PUBACK of identifier 0":           {wire: wire(0x40, num(0)), reason: protocol},
		"[MQTT3-2.3.1-6] PUBREC of identifier 0":           {wire: wire(0x50, num(0)), reason: protocol},
		"[MQTT3-2.3.1-6] PUBREL of identifier 0":           {wire: wire(0x62, num(0)), reason: protocol},
		"[MQTT3-2.3.1-6] PUBCOMP of identifier 0":          {wire: wire(0x70, num(0)), reason: protocol},
		"[MQTT3-2.3.1-7] SUBACK of identifier 0":           {wire: wire(0x90, num(0), 0), reason: protocol},
		"[MQTT3-2.3.1-7] UNSUBACK of identifier 0":         {wire: wire(0xB0, num(0)), reason: protocol},
		"[MQTT3-4.8.0-1] PINGREQ with a body":              {wire: wire(0xC0, 0), reason: malformed},
		"[MQTT3-4.8.0-1] PINGRESP with a body":             {wire: wire(0xD0, 0), reason: malformed},
		"[MQTT3-4.8.0-1] DISCONNECT with a reason":         {wire: wire(0xE0, 0), reason: malformed},
		"[MQTT3-4.8.0-1] PUBACK with a reason":             {wire: wire(0x40, num(1), 0), reason: malformed},
		"[MQTT3-4.8.0-1] PUBACK with half an identifier":   {wire: wire(0x40, 1), reason: malformed},
		"[MQTT3-4.8.0-1] UNSUBACK with codes":              {wire: wire(0xB0, num(1), 0), reason: malformed},
		"[MQTT3-4.8.0-1] CONNACK with properties":          {wire: wire(0x20, 0, 0, 0), reason: malformed},
		"[MQTT3-4.8.0-1] packet cut short":                 {wire: wire(0x30, str("t"))[:4], reason: malformed},
		"[MQTT3-4.8.0-1] bytes behind the packet":          {wire: append(wire(0xC0), 0xC0), reason: malformed},
		"[MQTT3-4.8.0-1] fixed header only":                {wire: []byte{0x30}, reason: malformed},
		"[MQTT3-2.2.3] remaining length of five bytes":     {wire: []byte{0x30, 0x80, 0x80, 0x80, 0x80, 1}, reason: malformed},
		"[MQTT3-2.2.1] packet type 0":                      {wire: wire(0x00), reason: malformed},
		"[MQTT3-2.2.1] packet type 15":                     {wire: wire(0xF0), reason: malformed},
		"[MQTT3-3.1.0-2] second CONNECT":                   {wire: connect3(2, str("c")), reason: protocol},
		"[MQTT3-3.1.0-1] PUBLISH before CONNECT":           {wire: wire(0x30, str("t")), reason: protocol},
		"[MQTT3-3.1.0-1] [MQTT5-3.1.0-1] HTTP on our port": {wire: []byte("GET / HTTP/1.1\r\n\r\n"), reason: protocol},
	})
}

func TestRefuse3Connect(t *testing.T) {
	refuse(t, v3, map[string]refusal{
		"[MQTT3-3.1.2-1] protocol name MQTX":               {wire: wire(0x10, str("MQTX"), 4, 2, num(0), str("c")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT3-3.1.2-1] protocol name in lower case":      {wire: wire(0x10, str("mqtt"), 4, 2, num(0), str("c")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT3-3.1.2-1] empty protocol name":              {wire: wire(0x10, str(""), 4, 2, num(0), str("c")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT3-3.1.2-1] protocol name cut short":          {wire: wire(0x10, num(4), "MQ"), reason: malformed},
		"[MQTT3-3.1.2-1] no protocol name":                 {wire: wire(0x10), reason: malformed},
		"[MQTT3-3.1.2-2] level 2":                          {wire: wire(0x10, str("MQTT"), 2, 2, num(0), str("c")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT3-3.1.2-2] level 3 with the name of level 4": {wire: wire(0x10, str("MQTT"), 3, 2, num(0), str("c")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT3-3.1.2-2] level 4 with the name of level 3": {wire: wire(0x10, str("MQIsdp"), 4, 2, num(0), str("c")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT3-3.1.2-2] no level":                         {wire: wire(0x10, str("MQTT")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT3-3.1.2-3] reserved connect flag":            {wire: connect3(0x03, str("c")), reason: malformed},
		"[MQTT3-3.1.2-9] will without topic":               {wire: connect3(0x06, str("c")), reason: malformed},
		"[MQTT3-3.1.2-9] will without payload":             {wire: connect3(0x06, str("c"), str("w")), reason: malformed},
		"[MQTT3-3.1.2-11] will fields without will flag":   {wire: connect3(0x02, str("c"), str("w"), str("p")), reason: malformed},
		"[MQTT3-3.1.2-11] will QoS without will flag":      {wire: connect3(0x0A, str("c")), reason: malformed},
		"[MQTT3-3.1.2-11] will retain without will flag":   {wire: connect3(0x22, str("c")), reason: malformed},
		"[MQTT3-3.1.2-13] will QoS 1 without will flag":    {wire: connect3(0x0A, str("c")), reason: malformed},
		"[MQTT3-3.1.2-13] will QoS 3 without will flag":    {wire: connect3(0x1A, str("c")), reason: malformed},
		"[MQTT3-3.1.2-14] will QoS 3":                      {wire: connect3(0x1E, str("c"), str("w"), str("p")), reason: malformed},
		"[MQTT3-3.1.2-15] will retain without will flag":   {wire: connect3(0x22, str("c")), reason: malformed},
		"[MQTT3-3.1.2-18] user name without its flag":      {wire: connect3(0x02, str("c"), str("u")), reason: malformed},
		"[MQTT3-3.1.2-19] user name flag without the name": {wire: connect3(0x82, str("c")), reason: malformed},
		"[MQTT3-3.1.2-20] password without its flag":       {wire: connect3(0x82, str("c"), str("u"), str("p")), reason: malformed},
		"[MQTT3-3.1.2-21] password flag without password":  {wire: connect3(0xC2, str("c"), str("u")), reason: malformed},
		"[MQTT3-3.1.2-22] password without user name":      {wire: connect3(0x42, str("c"), str("p")), reason: malformed},
		"[MQTT3-3.1.3-3] no client id":                     {wire: connect3(0x02), reason: malformed},
		"[MQTT3-3.1.3-4] client id is not UTF-8":           {wire: connect3(0x02, str("\x80")), reason: malformed},
		"[MQTT3-3.1.3-10] will topic is not UTF-8":         {wire: connect3(0x06, str("c"), str("\xc3"), str("p")), reason: malformed},
		"[MQTT3-3.1.3-11] user name is not UTF-8":          {wire: connect3(0x82, str("c"), str("\xc3(")), reason: malformed},
		"[MQTT3-4.7.1-1] will topic with a wildcard":       {wire: connect3(0x06, str("c"), str("w/#"), str("p")), reason: badTopic},
		"[MQTT3-4.7.3-1] will topic is empty":              {wire: connect3(0x06, str("c"), str(""), str("p")), reason: badTopic},
		"[MQTT3-4.7.3-2] will topic with U+0000":           {wire: connect3(0x06, str("c"), str("w\x00"), str("p")), reason: malformed},
		"[MQTT3-4.8.0-1] CONNECT without flags":            {wire: wire(0x10, str("MQTT"), 4), reason: malformed},
		"[MQTT3-4.8.0-1] CONNECT without keep alive":       {wire: wire(0x10, str("MQTT"), 4, 2, 0), reason: malformed},
		"[MQTT3-4.8.0-1] bytes behind the last field":      {wire: connect3(0xC6, str("c"), str("w"), str("p"), str("u"), str("p"), 0), reason: malformed},
		"[MQTT3-3.2.2-4] refusal with session present":     {wire: wire(0x20, 1, 5), reason: protocol},
		"[MQTT3-3.2.2.1] reserved CONNACK flag":            {wire: wire(0x20, 2, 0), reason: malformed},
		"[MQTT3-3.2.2.3] reserved return code":             {wire: wire(0x20, 0, 6), reason: protocol},
		"[MQTT3-4.8.0-1] CONNACK without code":             {wire: wire(0x20, 0), reason: malformed},
	})
}

func TestRefuse3Publish(t *testing.T) {
	refuse(t, v3, map[string]refusal{
		"[MQTT3-3.3.1-2] DUP with QoS 0":                 {wire: wire(0x38, str("t")), reason: malformed},
		"[MQTT3-3.3.1-4] QoS 3":                          {wire: wire(0x36, str("t"), num(1)), reason: malformed},
		"[MQTT3-3.3.1-4] QoS 3 with DUP and retain":      {wire: wire(0x3F, str("t"), num(1)), reason: malformed},
		"[MQTT3-3.3.2-1] topic cut short":                {wire: wire(0x30, num(2), "t"), reason: malformed},
		"[MQTT3-3.3.2-1] topic length cut short":         {wire: wire(0x30, 0), reason: malformed},
		"[MQTT3-3.3.2-1] no topic":                       {wire: wire(0x30), reason: malformed},
		"[MQTT3-3.3.2-1] topic is not UTF-8":             {wire: wire(0x30, str("\xf0\x28")), reason: malformed},
		"[MQTT3-3.3.2-2] topic with '#'":                 {wire: wire(0x30, str("t/#")), reason: badTopic},
		"[MQTT3-3.3.2-2] topic with '+'":                 {wire: wire(0x30, str("t+")), reason: badTopic},
		"[MQTT3-3.3.2-2] long topic with '+' at the end": {wire: wire(0x30, str("devices/d1/messages/events/+")), reason: badTopic},
		"[MQTT3-4.7.1-1] long topic with '#' within":     {wire: wire(0x30, str("devices/d#1/messages/events/")), reason: badTopic},
		"[MQTT3-3.3.2-2] topic with '+' beside umlauts":  {wire: wire(0x30, str("häuser/+")), reason: badTopic},
		"[MQTT3-4.7.3-1] topic is empty":                 {wire: wire(0x30, str("")), reason: protocol},
		"[MQTT3-4.7.3-2] [MQTT3-1.5.3-2] topic with NUL": {wire: wire(0x30, str("t\x00")), reason: malformed},
		"[MQTT3-4.7.3-2] long topic with NUL within":     {wire: wire(0x30, str("devices/d\x001/messages/events/")), reason: malformed},
	})
}

func TestRefuse3Subscribe(t *testing.T) {
	sub := func(filter string) []byte { return wire(0x82, num(1), str(filter), 0) }
	unsub := func(filter string) []byte { return wire(0xA2, num(1), str(filter)) }
	refuse(t, v3, map[string]refusal{
		"[MQTT3-3.8.3-1] filter is not UTF-8":                 {wire: sub("a\xff"), reason: malformed},
		"[MQTT3-3.8.3-3] SUBSCRIBE without filter":            {wire: wire(0x82, num(1)), reason: protocol},
		"[MQTT3-3-8.3-4] QoS 3":                               {wire: wire(0x82, num(1), str("a"), 3), reason: protocol},
		"[MQTT3-3-8.3-4] reserved bit 2, no local in MQTT 5":  {wire: wire(0x82, num(1), str("a"), 4), reason: malformed},
		"[MQTT3-3-8.3-4] reserved bit 7":                      {wire: wire(0x82, num(1), str("a"), 0x81), reason: malformed},
		"[MQTT3-3-8.3-4] reserved bit in the second filter":   {wire: wire(0x82, num(1), str("a"), 1, str("b"), 0x11), reason: malformed},
		"[MQTT3-4.8.0-1] SUBSCRIBE without its last QoS":      {wire: wire(0x82, num(1), str("a"), 1, str("b")), reason: malformed},
		"[MQTT3-4.8.0-1] SUBSCRIBE with half a filter":        {wire: wire(0x82, num(1), str("a"), 1, num(2), "b"), reason: malformed},
		"[MQTT3-4.8.0-1] SUBSCRIBE with a filter of one byte": {wire: wire(0x82, num(1), 0), reason: malformed},
		"[MQTT3-4.7.1-2] '#' is not last":                     {wire: sub("a/#/b"), reason: badFilter},
		"[MQTT3-4.7.1-2] '#' behind a character":              {wire: sub("a#"), reason: badFilter},
		"[MQTT3-4.7.1-3] '+' before '#'":                      {wire: sub("a/+#"), reason: badFilter},
		"[MQTT3-4.7.1-2] '##'":                                {wire: sub("a/##"), reason: badFilter},
		"[MQTT3-4.7.1-3] '+' behind a character":              {wire: sub("a+"), reason: badFilter},
		"[MQTT3-4.7.1-3] '+' before a character":              {wire: sub("a/+b/c"), reason: badFilter},
		"[MQTT3-4.7.1-3] '++'":                                {wire: sub("++"), reason: badFilter},
		"[MQTT3-4.7.3-1] filter is empty":                     {wire: sub(""), reason: badFilter},
		"[MQTT3-4.7.3-2] filter with U+0000":                  {wire: sub("a\x00"), reason: malformed},
		"[MQTT3-3.8.4-5] SUBACK without codes":                {wire: wire(0x90, num(1)), reason: protocol},
		"[MQTT3-3.9.3-2] SUBACK with code 3":                  {wire: wire(0x90, num(1), 0, 3), reason: protocol},
		"[MQTT3-3.9.3-2] SUBACK with a code of MQTT 5":        {wire: wire(0x90, num(1), 0x87), reason: protocol},
		"[MQTT3-3.10.3-1] filter of UNSUBSCRIBE is not UTF-8": {wire: unsub("\xed\xbf\xbf"), reason: malformed},
		"[MQTT3-3.10.3-2] UNSUBSCRIBE without filter":         {wire: wire(0xA2, num(1)), reason: protocol},
		"[MQTT3-4.7.1-2] '#' in UNSUBSCRIBE":                  {wire: unsub("a/#b"), reason: badFilter},
		"[MQTT3-4.7.1-3] '+' in UNSUBSCRIBE":                  {wire: unsub("a/b+"), reason: badFilter},
		"[MQTT3-4.7.3-1] UNSUBSCRIBE with an empty filter":    {wire: unsub(""), reason: badFilter},
		"[MQTT3-4.8.0-1] UNSUBSCRIBE with half a filter":      {wire: wire(0xA2, num(1), str("a"), num(9), "b"), reason: malformed},
	})
}

func TestRefuse3Sender(t *testing.T) {
	refuse(t, v3, map[string]refusal{
		"[MQTT3-4.8.0-1] CONNACK of a client":     {wire: wire(0x20, 0, 0), from: mqtt.FromClient, reason: protocol},
		"[MQTT3-4.8.0-1] SUBACK of a client":      {wire: wire(0x90, num(1), 0), from: mqtt.FromClient, reason: protocol},
		"[MQTT3-4.8.0-1] UNSUBACK of a client":    {wire: wire(0xB0, num(1)), from: mqtt.FromClient, reason: protocol},
		"[MQTT3-4.8.0-1] PINGRESP of a client":    {wire: wire(0xD0), from: mqtt.FromClient, reason: protocol},
		"[MQTT3-4.8.0-1] SUBSCRIBE of a server":   {wire: wire(0x82, num(1), str("a"), 0), from: mqtt.FromServer, reason: protocol},
		"[MQTT3-4.8.0-1] UNSUBSCRIBE of a server": {wire: wire(0xA2, num(1), str("a")), from: mqtt.FromServer, reason: protocol},
		"[MQTT3-4.8.0-1] PINGREQ of a server":     {wire: wire(0xC0), from: mqtt.FromServer, reason: protocol},
		"[MQTT3-4.8.0-1] DISCONNECT of a server":  {wire: wire(0xE0), from: mqtt.FromServer, reason: protocol},
		"[MQTT3-4.8.0-1] CONNECT of a server":     {wire: connect3(2, str("c")), from: mqtt.FromServer, reason: protocol},
	})
}
