package configuration

import (
	"cmp"
	"maps"
	"slices"

	"github.com/hubgate/hubgate/hub"
)

// plan is a configuration, ready to be used.
type plan struct {
	Configuration

	condition Condition // nil: it selects nothing
	goal      *value    // of devices and modules
	layer     bool      // of edge deployments
	origins   []Origin  // of devices and modules
}

// set is all configurations, each kind by priority. It never changes.
type set struct {
	byID    map[string]*plan
	devices []*plan
	modules []*plan
	edge    []*plan
	names   []string // of the modules that edge deployments name
}

// newSet compiles configurations. Of one whose condition can't be read any more
// failed is told; it selects nothing.
func newSet(all []Configuration, language Language, failed func(id string, err error)) *set {
	s := &set{byID: map[string]*plan{}}
	names := map[string]bool{edgeAgent: true}
	for _, c := range all {
		p := &plan{Configuration: c}
		if c.TargetCondition != "" {
			var err error
			if p.condition, err = language.Condition(c.TargetCondition); err != nil {
				failed(c.ID, err)
				p.condition = nil
			}
		}
		s.byID[c.ID] = p
		switch c.Content.Kind {
		case Devices, Modules:
			p.goal, p.origins = goal(c.Content.parts[""]), p.from("", nil)
			if c.Content.Kind == Devices {
				s.devices = append(s.devices, p)
			} else {
				s.modules = append(s.modules, p)
			}
		case Edge:
			p.layer = c.Content.isLayer()
			s.edge = append(s.edge, p)
			for id := range c.Content.parts {
				names[id] = true
			}
		}
	}
	for _, kind := range [][]*plan{s.devices, s.modules, s.edge} {
		slices.SortFunc(kind, func(p, q *plan) int {
			if p.before(q.Configuration) {
				return -1
			}
			return 1
		})
	}
	s.names = slices.Sorted(maps.Keys(names))
	return s
}

// from appends where the sections of a module come from.
func (p *plan) from(module string, all []Origin) []Origin {
	for _, s := range p.Content.parts[module] {
		all = append(all, Origin{Path: s.path, ID: p.ID, Digest: p.digest()})
	}
	return all
}

// selecting returns those of plans that select an identity, by priority.
func selecting(plans []*plan, f Fleet, id hub.Identity) (all []*plan) {
	for _, p := range plans {
		if p.condition != nil && f.Matches(p.condition, id) {
			all = append(all, p)
		}
	}
	return all
}

// deployments are the edge deployments that select a device, and those of them
// that count, in the order in which they are put on top of each other: the base
// first.
type deployments struct {
	targeted []*plan
	counting []*plan
}

// newDeployments takes the deployments that select a device, by priority.
func newDeployments(targeted []*plan) deployments {
	d := deployments{targeted: targeted}
	base := slices.IndexFunc(targeted, func(p *plan) bool { return !p.layer })
	if base >= 0 { // without one there is nothing that layers could be put on
		d.counting = slices.Clone(targeted[:base+1])
		slices.Reverse(d.counting)
	}
	return d
}

// aim is what the desired properties of a twin are to be, and for whom.
type aim struct {
	goal    *value
	rule    rule
	origins []Origin
	winners []*plan // whose content the goal is
	losers  []*plan
}

// deviceAim is the aim for a device that some configurations select, by
// priority, and for a module that has nothing to do with edge deployments.
func deviceAim(targeted []*plan) aim {
	a := aim{goal: newObject(nil), rule: rule{takes: everything}}
	if len(targeted) > 0 {
		a.goal, a.origins = targeted[0].goal, targeted[0].origins
		a.winners, a.losers = targeted[:1:1], slices.Clip(targeted[1:])
	}
	return a
}

// moduleAim is the aim for a module, which some configurations select, by
// priority, of an edge device with deployments.
func (s *set) moduleAim(module string, targeted []*plan, d deployments) aim {
	a := deviceAim(targeted)
	own := a.goal
	a.goal, a.origins = newObject(nil), nil
	for _, p := range d.counting {
		for _, section := range p.Content.parts[module] {
			if len(section.path) == 0 { // a manifest says all
				a.rule.exact, a.origins = true, nil
			}
			a.goal = a.goal.with(section.path, section.value)
		}
		a.origins = p.from(module, a.origins)
	}
	a.goal = own.over(a.goal)
	if len(targeted) > 0 {
		a.origins = append(a.origins, targeted[0].origins...)
	}
	if len(d.counting) == 0 {
		a.rule.takes = s.isNoDeployment
	}
	for _, p := range d.targeted {
		if _, named := p.Content.parts[module]; !named && module != edgeAgent {
			continue
		}
		if slices.Contains(d.counting, p) {
			a.winners = append(a.winners, p)
		} else {
			a.losers = append(a.losers, p)
		}
	}
	return a
}

// isNoDeployment reports whether a configuration is there and is no edge
// deployment: what a device's last deployment wrote stays when it goes.
func (s *set) isNoDeployment(id string) bool {
	p := s.byID[id]
	return p != nil && p.Content.Kind != Edge
}

// statuses is how the configurations stand that select a twin which holds the
// goal, or not yet.
func (a aim) statuses(holds bool) []Status {
	all := make([]Status, 0, len(a.winners)+len(a.losers))
	for _, p := range a.winners {
		all = append(all, Status{p.ID, holds})
	}
	for _, p := range a.losers {
		all = append(all, Status{p.ID, false})
	}
	sortStatuses(all)
	return all
}

func sortStatuses(all []Status) {
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.ID, b.ID) })
}
