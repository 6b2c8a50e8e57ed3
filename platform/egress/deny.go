package egress

import (
	"net/netip"
	"slices"
	"strings"
)

// Deny is what the operator forbids, whatever Allow says. The zero value forbids nothing.
type Deny struct {
	Networks []netip.Prefix
	Hosts    []string // in lower case, without a final dot; each stands for all names below it too
}

// ParseDeny reads EGRESS_DENY, whose entries are like those of EGRESS_ALLOW.
func ParseDeny(list []string) (deny Deny, err error) {
	deny.Networks, deny.Hosts, err = parseEntries(list)
	return deny, err
}

func (d Deny) host(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	return slices.ContainsFunc(d.Hosts, func(h string) bool { return name == h || strings.HasSuffix(name, "."+h) })
}

// network reports whether addr, or the IPv4 address that it leads to, is forbidden.
func (d Deny) network(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	v4, leads := embedded(addr)
	return slices.ContainsFunc(d.Networks, func(n netip.Prefix) bool { return n.Contains(addr) || leads && n.Contains(v4) })
}

// rules are who may be connected to.
type rules struct {
	allow Allow
	deny  Deny
}

// host judges a name before it is resolved. named says that it is allowed whatever it
// resolves to, but for what is forbidden.
func (r rules) host(name string) (refusal Refusal, named bool) {
	if r.deny.host(name) {
		return Denied, false
	}
	return 0, r.allow.host(name)
}

// address judges an address that a name resolved to.
func (r rules) address(addr netip.Addr, named bool) (Refusal, bool) {
	switch {
	case !addr.IsValid():
		return Unknown, true
	case r.deny.network(addr):
		return Denied, true
	case named:
		return 0, false
	}
	return r.allow.judge(addr)
}
