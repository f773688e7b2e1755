package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

// A socket that is turned away stays open for a moment, if there is a place.
func TestTarpit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := tarpit{places: 2}
		a, b, c := newCloser(), newCloser(), newCloser()
		p.close(a)
		p.close(b)
		p.close(c)
		if a.gone() || b.gone() || !c.gone() {
			t.Errorf("gone: %v %v %v, want the third alone", a.gone(), b.gone(), c.gone())
		}
		<-time.After(tarpitTime)
		synctest.Wait()
		if !a.gone() || !b.gone() {
			t.Errorf("gone after %v: %v %v, want both", tarpitTime, a.gone(), b.gone())
		}
		d := newCloser()
		p.close(d)
		if d.gone() {
			t.Error("the places are not given back")
		}
	})
}
