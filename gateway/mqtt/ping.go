package mqtt

// Pingreq is a PINGREQ packet (MQTT 5.0 section 3.12).
type Pingreq struct{}

// Pingresp is a PINGRESP packet, the answer to PINGREQ (MQTT 5.0 section 3.13).
type Pingresp struct{}

// Type implements [Packet].
func (*Pingreq) Type() Type { return TypePingreq }

// Type implements [Packet].
func (*Pingresp) Type() Type { return TypePingresp }

// Append implements [Packet].
func (*Pingreq) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypePingreq)<<4, nil)
	return w.close()
}

// Append implements [Packet].
func (*Pingresp) Append(b []byte, v Version) ([]byte, error) {
	w := open(b, v, byte(TypePingresp)<<4, nil)
	return w.close()
}
