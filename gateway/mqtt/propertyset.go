package mqtt

import "encoding/binary"

// SetNumber sets a property that is a number, in place of any value it had. A
// value that the property can't have makes the Append of the packet fail.
func (p *Properties) SetNumber(id Property, x uint32) {
	if p.Delete(id); p.acceptNumber(id, x) {
		p.addNumber(id, x)
	}
}

// SetBytes sets a property that is text or bytes, in place of any value it
// had. A value that the property can't have makes the Append of the packet
// fail.
func (p *Properties) SetBytes(id Property, x []byte) {
	p.Delete(id)
	y := tooLong(x)
	switch k := id.kind(); {
	case id == PropertyResponseTopic:
		y = topicFault(x)
	case k == kindText:
		y = textFault(x)
	case k != kindData: // not set by bytes at all
		y = faultCut
	}
	if y != faultNone {
		p.refuse(id)
		return
	}
	p.begin(id)
	p.addString(x)
}

// AddUser adds a user property behind those that are there. A name or value
// that is no UTF-8 string makes the Append of the packet fail.
func (p *Properties) AddUser(name, value []byte) {
	if textFault(name) != faultNone || textFault(value) != faultNone {
		p.refuse(PropertyUser)
		return
	}
	p.begin(PropertyUser)
	p.addString(name)
	p.addString(value)
}

// AddSubscriptionID adds a subscription identifier behind those that are there.
// 0 and what is above 268435455 makes the Append of the packet fail.
func (p *Properties) AddSubscriptionID(x uint32) {
	if p.acceptNumber(PropertySubscriptionID, x) {
		p.addNumber(PropertySubscriptionID, x)
	}
}

// Delete removes every value of property id.
func (p *Properties) Delete(id Property) {
	if !p.set.has(id) {
		return
	}
	kept := make([]byte, 0, len(p.raw))
	for raw := p.raw; len(raw) > 0; {
		found, _, rest := split(raw)
		if found != id {
			kept = append(kept, raw[:len(raw)-len(rest)]...)
		}
		raw = rest
	}
	p.raw, p.view = kept, false
	p.set &^= 1 << id
}

// Reset removes all properties, forgets those that could not be set, and keeps the memory of p for new ones.
func (p *Properties) Reset() {
	if p.view {
		p.raw = nil
	}
	*p = Properties{raw: p.raw[:0]}
}

// acceptNumber notes whether x may be the value of property id.
func (p *Properties) acceptNumber(id Property, x uint32) bool {
	k := id.kind()
	if k.maximum() == 0 || !id.admits(k, x) {
		p.refuse(id)
		return false
	}
	return true
}

// refuse makes Append fail, whatever is set later.
func (p *Properties) refuse(id Property) {
	if !p.fail {
		p.fail, p.bad = true, id
	}
}

// begin adds the identifier of a property whose value follows. A view has no
// spare capacity, so that append copies it.
func (p *Properties) begin(id Property) {
	p.raw, p.view = append(p.raw, byte(id)), false
	p.set |= 1 << id
}

func (p *Properties) addNumber(id Property, x uint32) {
	p.begin(id)
	switch id.kind() {
	case kindFlag:
		p.raw = append(p.raw, byte(x))
	case kindUint16:
		p.raw = binary.BigEndian.AppendUint16(p.raw, uint16(x))
	case kindUint32:
		p.raw = binary.BigEndian.AppendUint32(p.raw, x)
	default: // kindVarint
		p.raw = appendVarint(p.raw, x)
	}
}

func (p *Properties) addString(x []byte) {
	p.raw = binary.BigEndian.AppendUint16(p.raw, uint16(len(x)))
	p.raw = append(p.raw, x...)
}
