package egress

import (
	"net/netip"
	"slices"
	"strings"
)

// Deny lists what the operator forbids, overriding Allow. The zero value forbids nothing.
type Deny struct {
	Networks []netip.Prefix
	Hosts    []string // in lower case, without a final dot; each includes all names below it
}

// ParseDeny reads EGRESS_DENY, whose entries have the same form as those of EGRESS_ALLOW.
func ParseDeny(list []string) (deny Deny, err error) {
	deny.Networks, deny.Hosts, err = parseEntries(list)
	return deny, err
}

func (d Deny) host(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return slices.ContainsFunc(d.Hosts, func(h string) bool { return name == h || strings.HasSuffix(name, "."+h) })
}

// network reports whether addr, or the IPv4 address embedded in it, is forbidden.
func (d Deny) network(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	v4, leads := embedded(addr)
	return slices.ContainsFunc(d.Networks, func(n netip.Prefix) bool { return n.Contains(addr) || leads && n.Contains(v4) })
}

// rules say which addresses may be connected to.
type rules struct {
	allow Allow
	deny  Deny
}

// host checks a name before it is resolved. named reports whether the name is
// allowed whatever it resolves to, except for denied addresses.
func (r rules) host(name string) (refusal Refusal, named bool) {
	if r.deny.host(name) {
		return Denied, false
	}
	return 0, r.allow.host(name)
}

// address checks an address that a name resolved to.
func (r rules) address(addr netip.Addr, named bool) (Refusal, bool) {
	switch {
	case !addr.IsValid():
		return Unknown, true
	case r.deny.network(addr):
		return Denied, true
	case named:
		return 0, false
	}
	return r.allow.check(addr)
}
