package query

import "strings"

// finder finds the value at a path, and remembers where the names of each shape
// stand. It is not for concurrent use.
type finder struct {
	steps []finderStep
}

type finderStep struct {
	segment
	fold  bool    // the name has no case
	known []int16 // by shape: 1 + the place of the name, -1: it has none, 0: not looked at
}

// finder makes one for a path. The root gets the name that documents have.
func (c *Collection) finder(p *path) *finder {
	f := &finder{}
	for i, s := range p.segments {
		step := finderStep{segment: s}
		if i == 0 {
			step.name, step.fold = c.rootName(s.name)
		}
		f.steps = append(f.steps, step)
	}
	return f
}

// rootName is the name that documents have for a root attribute, whatever its
// case; fold says that the collection does not know it.
func (c *Collection) rootName(name string) (known string, fold bool) {
	for alias, meant := range c.config.Aliases {
		if strings.EqualFold(alias, name) {
			return meant, false
		}
	}
	for _, known := range c.config.Order {
		if strings.EqualFold(known, name) {
			return known, false
		}
	}
	return name, true
}

// value is what the open document has at the path. A root member that two parts
// have is that of the later one.
func (f *finder) value(v *view) value {
	for part := Parts - 1; part >= 0; part-- {
		if at, ok := f.root(v, part); ok {
			return f.descend(v, part, at)
		}
	}
	if at, ok := f.root(v, Parts); ok {
		return f.descend(v, Parts, at)
	}
	return value{}
}

func (f *finder) root(v *view, part int) (int, bool) {
	if v.roots[part] == "" {
		return 0, false
	}
	return f.steps[0].find(v.sources[part].dict, v.roots[part], 0)
}

func (f *finder) descend(v *view, part, at int) value {
	tape := v.roots[part]
	for i := range f.steps[1:] {
		var ok bool
		if at, ok = f.steps[i+1].find(v.sources[part].dict, tape, at); !ok {
			return value{}
		}
	}
	return v.sources[part].value(tape, at)
}

// find takes one step down from the value at the place.
func (s *finderStep) find(d *dictionary, tape string, at int) (int, bool) {
	switch tape[at] {
	case tagShape:
		if s.isIndex {
			return 0, false
		}
		return s.findShaped(d, tape, at)
	case tagObject:
		if s.isIndex {
			return 0, false
		}
		return s.findNamed(tape, at)
	case tagArray:
		return s.findIndex(tape, at)
	}
	return 0, false
}

func (s *finderStep) findShaped(d *dictionary, tape string, at int) (int, bool) {
	shape, _, at := containerAt(tape, at)
	if shape >= uint64(len(s.known)) {
		s.known = append(s.known, make([]int16, int(shape)+16-len(s.known))...)
	}
	place := s.known[shape]
	if place == 0 {
		place = s.place((*d.shapes.Load())[shape].names)
		s.known[shape] = place
	}
	if place < 0 {
		return 0, false
	}
	for range place - 1 {
		at = skip(tape, at)
	}
	return at, true
}

func (s *finderStep) place(names []string) int16 {
	for i, name := range names {
		if s.matches(name) && i < 1<<15-1 {
			return int16(i + 1)
		}
	}
	return -1
}

func (s *finderStep) matches(name string) bool {
	return name == s.name || s.fold && strings.EqualFold(name, s.name)
}

func (s *finderStep) findNamed(tape string, at int) (int, bool) {
	_, n, at := containerAt(tape, at)
	for end := at + n; at < end; {
		length, begin := uvarint(tape, at)
		at = begin + int(length)
		if s.matches(tape[begin:at]) {
			return at, true
		}
		at = skip(tape, at)
	}
	return 0, false
}

func (s *finderStep) findIndex(tape string, at int) (int, bool) {
	if !s.isIndex {
		return 0, false
	}
	_, n, at := containerAt(tape, at)
	end := at + n
	for range s.index {
		if at >= end {
			return 0, false
		}
		at = skip(tape, at)
	}
	return at, at < end
}
