package simulate

// numbers is a set of small numbers.
type numbers []uint64

func (b *numbers) set(n uint32) {
	for int(n/64) >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n/64] |= 1 << (n % 64)
}

func (b numbers) has(n uint32) bool {
	return int(n/64) < len(b) && b[n/64]&(1<<(n%64)) != 0
}

// ledger knows the messages of one device by their numbers, from 0.
type ledger struct {
	next   uint32 // number of the next message
	acked  numbers
	stored numbers // that a stream has, as far as it was read
	twice  int     // stored more than once
}

// store notes that a stream has message n.
func (l *ledger) store(n uint32) {
	if n >= l.next {
		return // not of ours, whoever has written it
	}
	if l.stored.has(n) {
		l.twice++
	}
	l.stored.set(n)
}

// lost returns the messages that were acknowledged and are in no stream.
func (l *ledger) lost() []uint32 {
	var all []uint32
	for n := range l.next {
		if l.acked.has(n) && !l.stored.has(n) {
			all = append(all, n)
		}
	}
	return all
}

// count is how many of the messages are in the set.
func (b numbers) count(most uint32) int {
	total := 0
	for n := range most {
		if b.has(n) {
			total++
		}
	}
	return total
}
