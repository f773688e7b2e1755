package mqtt_test

import (
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// The names of these tests hold the statements of MQTT 5.0, appendix B, or the
// section of a rule without a statement.

func TestRefuse5Format(t *testing.T) {
	refuse(t, mqtt.V5, map[string]refusal{
		"[MQTT5-1.5.4-1] reason string is not UTF-8":         {wire: wire(0x40, num(1), 0, props(0x1F, str("\xff"))), reason: malformed},
		"[MQTT5-1.5.4-1] client id with a surrogate":         {wire: connect5(2, none(), str("\xed\xa0\x80")), reason: malformed},
		"[MQTT5-1.5.4-1] long topic in an overlong form":     {wire: wire(0x30, str("abcdefgh\xc1\x81"), none()), reason: malformed},
		"[MQTT5-1.5.4-2] reason string with U+0000":          {wire: wire(0x40, num(1), 0, props(0x1F, str("a\x00"))), reason: malformed},
		"[MQTT5-1.5.4-2] client id with U+0000":              {wire: connect5(2, none(), str("\x00")), reason: malformed},
		"[MQTT5-1.5.5-1] remaining length 0 in two bytes":    {wire: []byte{0xC0, 0x80, 0}, reason: malformed},
		"[MQTT5-1.5.5-1] remaining length 5 in two bytes":    {wire: append([]byte{0x30, 0x85, 0}, cat(str("t"), 0, "p")...), reason: malformed},
		"[MQTT5-1.5.5-1] remaining length in four bytes":     {wire: append([]byte{0x30, 0x85, 0x80, 0x80, 0}, cat(str("t"), 0, "p")...), reason: malformed},
		"[MQTT5-1.5.5-1] remaining length of five bytes":     {wire: []byte{0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1}, reason: malformed},
		"[MQTT5-1.5.5-1] CONNECT with a long length":         {wire: append([]byte{0x10, 14 | 0x80, 0}, connect5(2, none(), str("c"))[2:]...), reason: malformed},
		"[MQTT5-1.5.5-1] property length in two bytes":       {wire: wire(0x30, str("t"), 0x80, 0), reason: malformed},
		"[MQTT5-1.5.5-1] property length of five bytes":      {wire: wire(0x30, str("t"), 0x80, 0x80, 0x80, 0x80, 0), reason: malformed},
		"[MQTT5-1.5.5-1] subscription identifier too long":   {wire: wire(0x82, num(1), props(0x0B, 0x81, 0), str("a"), 0), reason: malformed},
		"[MQTT5-1.5.7-1] name of a user property":            {wire: wire(0x30, str("t"), props(0x26, str("\xff"), str("v"))), reason: malformed},
		"[MQTT5-1.5.7-1] value of a user property":           {wire: wire(0x30, str("t"), props(0x26, str("k"), str("\xff"))), reason: malformed},
		"[MQTT5-1.5.7-1] user property with U+0000":          {wire: wire(0x30, str("t"), props(0x26, str("k\x00"), str("v"))), reason: malformed},
		"[MQTT5-2.1.3-1] CONNECT flags":                      {wire: wire(0x11, str("MQTT"), 5, 2, num(60), 0, str("c")), reason: malformed},
		"[MQTT5-2.1.3-1] CONNACK flags":                      {wire: wire(0x21, 0, 0, 0), reason: malformed},
		"[MQTT5-2.1.3-1] PUBACK flags":                       {wire: wire(0x41, num(1)), reason: malformed},
		"[MQTT5-2.1.3-1] PUBREC flags":                       {wire: wire(0x52, num(1)), reason: malformed},
		"[MQTT5-2.1.3-1] PUBCOMP flags":                      {wire: wire(0x74, num(1)), reason: malformed},
		"[MQTT5-2.1.3-1] SUBACK flags":                       {wire: wire(0x98, num(1), 0, 0), reason: malformed},
		"[MQTT5-2.1.3-1] UNSUBACK flags":                     {wire: wire(0xB1, num(1), 0, 0), reason: malformed},
		"[MQTT5-2.1.3-1] PINGREQ flags":                      {wire: wire(0xC2), reason: malformed},
		"[MQTT5-2.1.3-1] PINGRESP flags":                     {wire: wire(0xD4), reason: malformed},
		"[MQTT5-3.6.1-1] [MQTT5-2.1.3-1] PUBREL flags":       {wire: wire(0x60, num(1)), reason: malformed},
		"[MQTT5-3.8.1-1] [MQTT5-2.1.3-1] SUBSCRIBE flags":    {wire: wire(0x80, num(1), 0, str("a"), 0), reason: malformed},
		"[MQTT5-3.10.1-1] [MQTT5-2.1.3-1] UNSUBSCRIBE flags": {wire: wire(0xA8, num(1), 0, str("a")), reason: malformed},
		"[MQTT5-3.14.1-1] [MQTT5-2.1.3-1] DISCONNECT flags":  {wire: wire(0xE8), reason: malformed},
		"[MQTT5-3.15.1-1] [MQTT5-2.1.3-1] AUTH flags":        {wire: wire(0xF1), reason: malformed},
		"[MQTT5-2.2.1-3] PUBLISH with identifier 0":          {wire: wire(0x34, str("t"), num(0), 0), reason: protocol},
		"[MQTT5-2.2.1-3] SUBSCRIBE with identifier 0":        {wire: wire(0x82, num(0), 0, str("a"), 0), reason: protocol},
		"[MQTT5-2.2.1-3] UNSUBSCRIBE with identifier 0":      {wire: wire(0xA2, num(0), 0, str("a")), reason: protocol},
		"[MQTT5-2.2.1-5] PUBACK of identifier 0":             {wire: wire(0x40, num(0)), reason: protocol},
		"[MQTT5-2.2.1-5] PUBREC of identifier 0":             {wire: wire(0x50, num(0), 0), reason: protocol},
		"[MQTT5-2.2.1-5] PUBREL of identifier 0":             {wire: wire(0x62, num(0), 0, 0), reason: protocol},
		"[MQTT5-2.2.1-5] PUBCOMP of identifier 0":            {wire: wire(0x70, num(0)), reason: protocol},
		"[MQTT5-2.2.1-6] SUBACK of identifier 0":             {wire: wire(0x90, num(0), 0, 0), reason: protocol},
		"[MQTT5-2.2.1-6] UNSUBACK of identifier 0":           {wire: wire(0xB0, num(0), 0, 0), reason: protocol},
		"[MQTT5-2.2.2-1] PUBLISH without property length":    {wire: wire(0x30, str("t")), reason: malformed},
		"[MQTT5-2.2.2-1] CONNECT without property length":    {wire: wire(0x10, str("MQTT"), 5, 2, num(0)), reason: malformed},
		"[MQTT5-2.2.2-1] CONNACK without property length":    {wire: wire(0x20, 0, 0), reason: malformed},
		"[MQTT5-2.2.2-1] SUBSCRIBE without property length":  {wire: wire(0x82, num(1)), reason: malformed},
		"[MQTT5-2.2.2-1] UNSUBACK without property length":   {wire: wire(0xB0, num(1)), reason: malformed},
		"[MQTT5-2.2.2-1] AUTH without property length":       {wire: wire(0xF0, 0x18), reason: malformed},
		"[MQTT5-2.2.2-1] properties end behind the packet":   {wire: wire(0x30, str("t"), 5, 1, 1), reason: malformed},
		"[MQTT5-4.13.1-1] bytes behind PUBACK":               {wire: wire(0x40, num(1), 0, 0, 0), reason: malformed},
		"[MQTT5-4.13.1-1] bytes behind DISCONNECT":           {wire: wire(0xE0, 0, 0, 0), reason: malformed},
		"[MQTT5-4.13.1-1] bytes behind AUTH":                 {wire: wire(0xF0, 0, 0, 0), reason: malformed},
		"[MQTT5-4.13.1-1] bytes behind CONNACK":              {wire: wire(0x20, 0, 0, 0, 0), reason: malformed},
		"[MQTT5-4.13.1-1] PINGREQ with a body":               {wire: wire(0xC0, 0), reason: malformed},
		"[MQTT5-4.13.1-1] CONNACK without code":              {wire: wire(0x20, 0), reason: malformed},
		"[MQTT5-2.1.2] packet type 0":                        {wire: wire(0x05), reason: malformed},
		"[MQTT5-3.1.0-2] second CONNECT":                     {wire: connect5(2, none(), str("c")), reason: protocol},
		"[MQTT5-3.1.0-1] AUTH before CONNECT":                {wire: wire(0xF0), reason: protocol},
	})
}

func TestRefuse5Connect(t *testing.T) {
	will := func(p ...any) []byte { return connect5(0x06, none(), str("c"), cat(p...)) }
	refuse(t, mqtt.V5, map[string]refusal{
		"[MQTT5-3.1.2-1] wrong name, level 5":                      {wire: wire(0x10, str("MQTX"), 5, 2, num(0), 0, str("c")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT5-3.1.2-2] level 6":                                  {wire: wire(0x10, str("MQTT"), 6, 2, num(0), 0, str("c")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT5-3.1.2-2] the bridge bit of mosquitto":              {wire: wire(0x10, str("MQTT"), 0x84, 2, num(0), str("c")), reason: mqtt.ReasonUnsupportedVersion},
		"[MQTT5-3.1.2-3] reserved connect flag":                    {wire: connect5(0x01, none(), str("c")), reason: malformed},
		"[MQTT5-3.1.2-9] will without payload":                     {wire: will(none(), str("w")), reason: malformed},
		"[MQTT5-3.1.2-9] will without topic":                       {wire: will(none()), reason: malformed},
		"[MQTT5-2.2.2-1] will without property length":             {wire: will(), reason: malformed},
		"[MQTT5-3.1.2-11] will QoS without will":                   {wire: connect5(0x10, none(), str("c")), reason: malformed},
		"[MQTT5-3.1.2-12] will QoS 3":                              {wire: connect5(0x1E, none(), str("c"), none(), str("w"), str("p")), reason: malformed},
		"[MQTT5-3.1.2-13] will retain without will":                {wire: connect5(0x22, none(), str("c")), reason: malformed},
		"[MQTT5-3.1.2-16] user name without its flag":              {wire: connect5(0x02, none(), str("c"), str("u")), reason: malformed},
		"[MQTT5-3.1.2-17] user name flag without the name":         {wire: connect5(0x82, none(), str("c")), reason: malformed},
		"[MQTT5-3.1.2-18] password without its flag":               {wire: connect5(0x82, none(), str("c"), str("u"), str("p")), reason: malformed},
		"[MQTT5-3.1.2-19] password flag without password":          {wire: connect5(0x42, none(), str("c")), reason: malformed},
		"[MQTT5-3.1.3-3] no client id":                             {wire: connect5(0x02, none()), reason: malformed},
		"[MQTT5-3.1.3-4] client id is not UTF-8":                   {wire: connect5(0x02, none(), str("\xbf")), reason: malformed},
		"[MQTT5-3.1.3-11] will topic is not UTF-8":                 {wire: will(none(), str("\xbf"), str("p")), reason: malformed},
		"[MQTT5-3.1.3-12] user name is not UTF-8":                  {wire: connect5(0x82, none(), str("c"), str("\xbf")), reason: malformed},
		"[MQTT5-4.7.0-1] will topic with a wildcard":               {wire: will(none(), str("w/+"), str("p")), reason: badTopic},
		"[MQTT5-4.7.3-1] will topic is empty":                      {wire: will(none(), str(""), str("p")), reason: badTopic},
		"[MQTT5-4.7.3-2] will topic with U+0000":                   {wire: will(none(), str("\x00"), str("p")), reason: malformed},
		"[MQTT5-3.1.2.11.10] authentication without method":        {wire: connect5(2, props(0x16, str("x")), str("c")), reason: protocol},
		"[MQTT5-3.1.2.11.3] receive maximum 0":                     {wire: connect5(2, props(0x21, num(0)), str("c")), reason: protocol},
		"[MQTT5-3.1.2.11.4] maximum packet size 0":                 {wire: connect5(2, props(0x27, num(0), num(0)), str("c")), reason: protocol},
		"[MQTT5-3.1.2.11.6] request response information 2":        {wire: connect5(2, props(0x19, 2), str("c")), reason: protocol},
		"[MQTT5-3.1.2.11.7] request problem information 2":         {wire: connect5(2, props(0x17, 2), str("c")), reason: protocol},
		"[MQTT5-3.1.2.11.2] session expiry cut short":              {wire: connect5(2, props(0x11, num(0), 0), str("c")), reason: malformed},
		"[MQTT5-3.1.2.11.3] receive maximum cut short":             {wire: connect5(2, props(0x21, 1), str("c")), reason: malformed},
		"[MQTT5-3.1.2.11.7] request problem information cut short": {wire: connect5(2, props(0x17), str("c")), reason: malformed},
		"[MQTT5-3.1.2.11.9] authentication method cut short":       {wire: connect5(2, props(0x15, num(3), "ab"), str("c")), reason: malformed},
		"[MQTT5-3.1.2.11.10] authentication data cut short":        {wire: connect5(2, props(0x16, num(3), "ab"), str("c")), reason: malformed},
		"[MQTT5-3.3.2.3.2] will payload format 2":                  {wire: will(props(1, 2), str("w"), str("p")), reason: protocol},
		"[MQTT5-3.3.2-14] response topic of a will":                {wire: will(props(8, str("#")), str("w"), str("p")), reason: badTopic},
	})
}

func TestRefuse5Connack(t *testing.T) {
	connack := func(p ...any) []byte { return wire(0x20, 0, 0, props(p...)) }
	refuse(t, mqtt.V5, map[string]refusal{
		"[MQTT5-3.2.2-1] reserved CONNACK flag":                {wire: wire(0x20, 0x80, 0, 0), reason: malformed},
		"[MQTT5-3.2.2-6] refusal with session present":         {wire: wire(0x20, 1, 0x87, 0), reason: protocol},
		"[MQTT5-3.2.2-8] reason code of MQTT 3.1.1":            {wire: wire(0x20, 0, 5, 0), reason: protocol},
		"[MQTT5-3.2.2-8] reason code of DISCONNECT":            {wire: wire(0x20, 0, 0x8E, 0), reason: protocol},
		"[MQTT5-3.1.2.11.3] receive maximum 0":                 {wire: connack(0x21, num(0)), reason: protocol},
		"[MQTT5-3.1.2.11.4] maximum packet size 0":             {wire: connack(0x27, num(0), num(0)), reason: protocol},
		"[MQTT5-3.2.2.3.4] maximum QoS 2":                      {wire: connack(0x24, 2), reason: protocol},
		"[MQTT5-3.2.2.3.5] retain available 2":                 {wire: connack(0x25, 2), reason: protocol},
		"[MQTT5-3.2.2.3.11] wildcard subscription available 2": {wire: connack(0x28, 0xFF), reason: protocol},
		"[MQTT5-3.2.2.3.12] subscription identifiers 2":        {wire: connack(0x29, 2), reason: protocol},
		"[MQTT5-3.2.2.3.13] shared subscription available 2":   {wire: connack(0x2A, 2), reason: protocol},
	})
}

func TestRefuse5Publish(t *testing.T) {
	publish := func(p ...any) []byte { return wire(0x30, str("t"), props(p...), "payload") }
	refuse(t, mqtt.V5, map[string]refusal{
		"[MQTT5-3.3.1-2] DUP with QoS 0":                      {wire: wire(0x39, str("t"), 0), reason: malformed},
		"[MQTT5-3.3.1-4] QoS 3":                               {wire: wire(0x36, str("t"), num(1), 0), reason: malformed},
		"[MQTT5-3.3.2-1] topic is not UTF-8":                  {wire: wire(0x30, str("\xff"), 0), reason: malformed},
		"[MQTT5-3.3.2-1] no topic":                            {wire: wire(0x30), reason: malformed},
		"[MQTT5-3.3.2-2] [MQTT5-4.7.0-1] topic with '#'":      {wire: wire(0x30, str("a/#"), 0), reason: badTopic},
		"[MQTT5-3.3.2-2] [MQTT5-4.7.0-1] topic with '+'":      {wire: wire(0x30, str("a/+/b/c/d/e"), 0), reason: badTopic},
		"[MQTT5-4.7.3-1] empty topic without alias":           {wire: wire(0x30, str(""), 0), reason: protocol},
		"[MQTT5-4.7.3-2] topic with U+0000":                   {wire: wire(0x30, str("\x00"), 0), reason: malformed},
		"[MQTT5-3.3.2-8] [MQTT5-3.3.2.3.4] topic alias 0":     {wire: publish(0x23, num(0)), reason: mqtt.ReasonTopicAliasInvalid},
		"[MQTT5-3.3.2-13] response topic is not UTF-8":        {wire: publish(0x08, str("\xff")), reason: malformed},
		"[MQTT5-3.3.2-14] response topic with '+'":            {wire: publish(0x08, str("a/+")), reason: badTopic},
		"[MQTT5-4.7.3-1] response topic is empty":             {wire: publish(0x08, str("")), reason: badTopic},
		"[MQTT5-4.7.3-2] response topic with U+0000":          {wire: publish(0x08, str("\x00")), reason: malformed},
		"[MQTT5-3.3.2.3.5] response topic cut short":          {wire: wire(0x30, str("t"), props(0x08, num(9), "a")), reason: malformed},
		"[MQTT5-3.3.2-19] content type is not UTF-8":          {wire: publish(0x03, str("\xff")), reason: malformed},
		"[MQTT5-3.3.2.3.2] payload format 2":                  {wire: publish(0x01, 2), reason: protocol},
		"[MQTT5-3.3.2.3.8] subscription identifier 0":         {wire: publish(0x0B, 0), reason: protocol},
		"[MQTT5-1.5.5-1] subscription identifier of 5 bytes":  {wire: publish(0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 1), reason: malformed},
		"[MQTT5-3.3.2.3.8] subscription identifier cut":       {wire: wire(0x30, str("t"), props(0x0B, 0xFF)), reason: malformed},
		"[MQTT5-3.3.4-6] subscription identifier of a client": {wire: publish(0x0B, 1), from: mqtt.FromClient, reason: protocol},
		"[MQTT5-2.2.2.2] user property without value":         {wire: wire(0x30, str("t"), props(0x26, str("k"))), reason: malformed},
		"[MQTT5-2.2.2.2] unknown property 0":                  {wire: publish(0x00, 0), reason: malformed},
		"[MQTT5-2.2.2.2] unknown property 4":                  {wire: publish(0x04, 0), reason: malformed},
		"[MQTT5-2.2.2.2] unknown property 127":                {wire: publish(0x7F, 0), reason: malformed},
		"[MQTT5-2.2.2.2] unknown property 128":                {wire: publish(0x80, 0x01, 0), reason: malformed},
		"[MQTT5-2.2.2.2] unknown property 43":                 {wire: publish(0x2B, 0), reason: malformed},
		"[MQTT5-2.2.2.2] unknown property 66, 2 with bit 6":   {wire: publish(0x42, 0), reason: malformed},
	})
}

func TestRefuse5Acks(t *testing.T) {
	refuse(t, mqtt.V5, map[string]refusal{
		"[MQTT5-3.4.2-1] PUBACK with packet id not found":      {wire: wire(0x40, num(1), 0x92), reason: protocol},
		"[MQTT5-3.4.2-1] PUBACK with reason 1":                 {wire: wire(0x40, num(1), 0x01), reason: protocol},
		"[MQTT5-3.5.2-1] PUBREC with keep alive timeout":       {wire: wire(0x50, num(1), 0x8D, 0), reason: protocol},
		"[MQTT5-3.6.2-1] PUBREL with not authorized":           {wire: wire(0x62, num(1), 0x87), reason: protocol},
		"[MQTT5-3.7.2-1] PUBCOMP with no matching subscribers": {wire: wire(0x70, num(1), 0x10), reason: protocol},
		"[MQTT5-3.8.4-6] SUBACK without codes":                 {wire: wire(0x90, num(1), 0), reason: protocol},
		"[MQTT5-3.9.3-2] SUBACK with no subscription existed":  {wire: wire(0x90, num(1), 0, 0, 0x11), reason: protocol},
		"[MQTT5-3.9.3-2] SUBACK with QoS 3":                    {wire: wire(0x90, num(1), 0, 3), reason: protocol},
		"[MQTT5-3.11.3-1] UNSUBACK without codes":              {wire: wire(0xB0, num(1), 0), reason: protocol},
		"[MQTT5-3.11.3-2] UNSUBACK with granted QoS 1":         {wire: wire(0xB0, num(1), 0, 1), reason: protocol},
		"[MQTT5-3.14.2-1] DISCONNECT with bad credentials":     {wire: wire(0xE0, 0x86), reason: protocol},
		"[MQTT5-3.14.2-1] DISCONNECT with reason 1":            {wire: wire(0xE0, 0x01, 0), reason: protocol},
		"[MQTT5-3.14.2-1] client's DISCONNECT: not authorized": {wire: wire(0xE0, 0x87), from: mqtt.FromClient, reason: protocol},
		"[MQTT5-3.14.2-1] server's DISCONNECT: with will":      {wire: wire(0xE0, 0x04), from: mqtt.FromServer, reason: protocol},
		"[MQTT5-3.14.2-2] server's DISCONNECT: session expiry": {wire: wire(0xE0, 0, props(0x11, num(0), num(1))), from: mqtt.FromServer, reason: protocol},
		"[MQTT5-3.15.2-1] AUTH with not authorized":            {wire: wire(0xF0, 0x87, props(0x15, str("m"))), reason: protocol},
		"[MQTT5-3.15.2-1] AUTH success of a client":            {wire: wire(0xF0), from: mqtt.FromClient, reason: protocol},
		"[MQTT5-3.15.2-1] AUTH re-authenticate of a server":    {wire: wire(0xF0, 0x19, props(0x15, str("m"))), from: mqtt.FromServer, reason: protocol},
		"[MQTT5-3.15.2.2.2] AUTH without method":               {wire: wire(0xF0, 0x18, 0), reason: protocol},
		"[MQTT5-3.15.2.2.2] AUTH success with data alone":      {wire: wire(0xF0, 0, props(0x16, str("x"))), reason: protocol},
		"[MQTT5-4.13.1-1] SUBACK of a client":                  {wire: wire(0x90, num(1), 0, 0), from: mqtt.FromClient, reason: protocol},
		"[MQTT5-4.13.1-1] SUBSCRIBE of a server":               {wire: wire(0x82, num(1), 0, str("a"), 0), from: mqtt.FromServer, reason: protocol},
	})
}

func TestRefuse5Subscribe(t *testing.T) {
	sub := func(filter string, options int) []byte { return wire(0x82, num(1), 0, str(filter), options) }
	unsub := func(filter string) []byte { return wire(0xA2, num(1), 0, str(filter)) }
	refuse(t, mqtt.V5, map[string]refusal{
		"[MQTT5-3.8.3-1] filter is not UTF-8":                 {wire: sub("\xff", 0), reason: malformed},
		"[MQTT5-3.8.3-2] SUBSCRIBE without filter":            {wire: wire(0x82, num(1), 0), reason: protocol},
		"[MQTT5-3.8.3-4] no local on a shared subscription":   {wire: sub("$share/g/a", 0x04), reason: protocol},
		"[MQTT5-3.8.3-5] reserved option bit 6":               {wire: sub("a", 0x40), reason: malformed},
		"[MQTT5-3.8.3-5] reserved option bit 7":               {wire: sub("a", 0x80), reason: malformed},
		"[MQTT5-3.8.3.1] QoS 3":                               {wire: sub("a", 0x03), reason: protocol},
		"[MQTT5-3.8.3.1] retain handling 3":                   {wire: sub("a", 0x30), reason: protocol},
		"[MQTT5-3.8.2.1.2] two subscription identifiers":      {wire: wire(0x82, num(1), props(0x0B, 1, 0x0B, 2), str("a"), 0), reason: protocol},
		"[MQTT5-3.3.2.3.8] subscription identifier 0":         {wire: wire(0x82, num(1), props(0x0B, 0), str("a"), 0), reason: protocol},
		"[MQTT5-4.13.1-1] filter without its option byte":     {wire: wire(0x82, num(1), 0, str("a")), reason: malformed},
		"[MQTT5-4.7.1-1] '#' is not last":                     {wire: sub("#/a", 0), reason: badFilter},
		"[MQTT5-4.7.1-1] '#' within a level":                  {wire: sub("a/b#", 0), reason: badFilter},
		"[MQTT5-4.7.1-2] '+' within a level":                  {wire: sub("a/+b", 0), reason: badFilter},
		"[MQTT5-4.7.3-1] filter is empty":                     {wire: sub("", 0), reason: badFilter},
		"[MQTT5-4.7.3-2] filter with U+0000":                  {wire: sub("a\x00", 0), reason: malformed},
		"[MQTT5-4.8.2-1] share name is empty":                 {wire: sub("$share//a", 0), reason: badFilter},
		"[MQTT5-4.8.2-1] nothing behind $share/":              {wire: sub("$share/", 0), reason: badFilter},
		"[MQTT5-4.8.2-2] share name with '+'":                 {wire: sub("$share/g+/a", 0), reason: badFilter},
		"[MQTT5-4.8.2-2] share name with '#'":                 {wire: sub("$share/#/a", 0), reason: badFilter},
		"[MQTT5-4.8.2-2] no filter behind the share name":     {wire: sub("$share/g", 0), reason: badFilter},
		"[MQTT5-4.8.2-2] empty filter behind the share name":  {wire: sub("$share/g/", 0), reason: badFilter},
		"[MQTT5-4.7.1-1] bad filter behind the share name":    {wire: sub("$share/g/a#", 0), reason: badFilter},
		"[MQTT5-3.8.3-1] share name is not UTF-8":             {wire: sub("$share/\xff/a", 0), reason: malformed},
		"[MQTT5-4.7.3-2] share name with U+0000":              {wire: sub("$share/\x00/a", 0), reason: malformed},
		"[MQTT5-3.10.3-1] filter of UNSUBSCRIBE is not UTF-8": {wire: unsub("\xff"), reason: malformed},
		"[MQTT5-3.10.3-2] UNSUBSCRIBE without filter":         {wire: wire(0xA2, num(1), 0), reason: protocol},
		"[MQTT5-4.7.1-1] '#' in UNSUBSCRIBE":                  {wire: unsub("a#"), reason: badFilter},
		"[MQTT5-4.7.1-2] '+' in UNSUBSCRIBE":                  {wire: unsub("+a"), reason: badFilter},
		"[MQTT5-4.8.2-1] share name is empty, in UNSUBSCRIBE": {wire: unsub("$share//a"), reason: badFilter},
		"[MQTT5-4.8.2-2] share name alone, in UNSUBSCRIBE":    {wire: unsub("$share/g"), reason: badFilter},
	})
}
