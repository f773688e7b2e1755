package backend

import "encoding/json"

// page is the answer to a list.
type page struct {
	Items []json.RawMessage `json:"items"`
	Next  string            `json:"next,omitempty"`
}

// pager fills a page. It ends early when it would not fit in one message.
type pager struct {
	page

	top  int // items; less than 1: as many as there is room for
	room int // bytes
}

func newPager(top, room int) *pager {
	return &pager{page: page{Items: []json.RawMessage{}}, top: top, room: room}
}

// add adds an item by its name, and reports false when it is for the next page.
func (p *pager) add(name string, item []byte) bool {
	p.room -= len(item) + 1
	if len(p.Items) > 0 && (p.room < 0 || len(p.Items) == p.top) {
		return false
	}
	p.Items, p.Next = append(p.Items, item), name
	return true
}

// last is the page behind which there is none.
func (p *pager) last() page {
	p.Next = ""
	return p.page
}
