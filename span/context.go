package span

import "strings"

// The headers of a trace context (W3C Trace Context, section 3), as they are
// written here. A reader takes them in any case.
const (
	HeaderParent = "traceparent"
	HeaderState  = "tracestate"
)

// What is taken of a context: all that has the form of today, with room for that
// of tomorrow, and as much of a tracestate as everybody has to pass on (W3C Trace
// Context, section 3.3.1.5).
const (
	maxParent = 128
	maxState  = 512
)

// Context is where a trace goes on. The zero value is nowhere.
type Context struct {
	Parent string `json:"traceparent,omitempty"`
	State  string `json:"tracestate,omitempty"`
	// Here says that Parent is a span of this node, not somebody else's.
	Here bool `json:"-"`
}

// IsZero reports whether c is nowhere.
func (c Context) IsZero() bool { return c.Parent == "" }

// Of returns the context that headers hold, as it came: nobody has looked at what
// it says. A traceparent that is there twice counts as none, and several
// tracestates are one list (W3C Trace Context, sections 3.2 and 3.3).
func Of(headers map[string][]string) Context {
	var c Context
	for name, values := range headers {
		switch {
		case len(name) != len(HeaderParent) && len(name) != len(HeaderState):
		case len(values) == 1 && strings.EqualFold(name, HeaderParent):
			c.Parent = values[0]
		case strings.EqualFold(name, HeaderState):
			c.State = strings.Join(values, ",")
		}
	}
	return c.Bounded()
}

// Bounded is c without what is too long to be carried along.
func (c Context) Bounded() Context {
	if len(c.Parent) > maxParent {
		c.Parent = ""
	}
	if c.Parent == "" {
		return Context{}
	}
	if len(c.State) > maxState {
		c.State = ""
	}
	return c
}

// Put adds the context to headers; one that is nowhere adds nothing.
func (c Context) Put(headers map[string][]string) {
	if c.Parent == "" {
		return
	}
	headers[HeaderParent] = []string{c.Parent}
	if c.State != "" {
		headers[HeaderState] = []string{c.State}
	}
}
