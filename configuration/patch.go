package configuration

// rule is how desired properties are brought to a goal.
type rule struct {
	// exact deletes all that the goal has not.
	exact bool
	// takes says of which configurations what they wrote is deleted when the
	// goal has it not.
	takes func(by string) bool
}

// everything takes back what any configuration wrote.
func everything(by string) bool { return by != "" }

// patch is the merge patch that brings have to the goal want, both objects; nil:
// there is nothing to do. null in the goal means that nothing is there.
func (r rule) patch(have, want *value) *value {
	members := map[string]*value{}
	for key, w := range want.members {
		if p := r.member(have.members[key], w); p != nil {
			members[key] = p
		}
	}
	for key, h := range have.members {
		if want.members[key] != nil {
			continue
		}
		if p := r.rest(h); p != nil {
			members[key] = p
		}
	}
	if len(members) == 0 {
		return nil
	}
	return newObject(members)
}

// member is the patch of one value, nil in have being none.
func (r rule) member(have, want *value) *value {
	switch {
	case have == nil && want.isNull():
		return nil
	case have.isObject() && want.object:
		return r.patch(have, want)
	case have != nil && !have.object && !want.object && have.equal(want):
		return nil
	default:
		return want
	}
}

// rest is the patch of what the goal has not.
func (r rule) rest(have *value) *value {
	if r.exact {
		return newNull()
	}
	return r.withdraw(have)
}

// withdraw is the patch that deletes of v what configurations wrote; an object
// of which nothing is left goes with it.
func (r rule) withdraw(v *value) *value {
	if len(v.members) == 0 {
		if r.takes(v.by) {
			return newNull()
		}
		return nil
	}
	members, whole := map[string]*value{}, true
	for key, member := range v.members {
		p := r.withdraw(member)
		if p != nil {
			members[key] = p
		}
		whole = whole && p != nil && p.isNull()
	}
	switch {
	case len(members) == 0:
		return nil
	case whole:
		return newNull()
	default:
		return newObject(members)
	}
}
