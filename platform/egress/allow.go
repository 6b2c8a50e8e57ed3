package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Allow lists what the operator allows in addition to public addresses. The zero value adds
// nothing.
type Allow struct {
	Networks []netip.Prefix
	Hosts    []string // in lower case, without a final dot; whatever they resolve to
}

// ParseAllow reads EGRESS_ALLOW: networks such as 10.1.0.0/16, addresses, and host names.
// Its error names every invalid entry.
func ParseAllow(list []string) (allow Allow, err error) {
	allow.Networks, allow.Hosts, err = parseEntries(list)
	return allow, err
}

func parseEntries(list []string) (networks []netip.Prefix, hosts []string, err error) {
	var wrong []error
	for _, entry := range list {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		network, err := parseNetwork(entry)
		switch name := hostName(entry); {
		case err != nil:
			wrong = append(wrong, err)
		case network.IsValid():
			networks = append(networks, network)
		case name != "":
			hosts = append(hosts, name)
		default:
			wrong = append(wrong, fmt.Errorf("%q is not a network (10.1.0.0/16), an address or a host name; leave out scheme, port and wildcards", entry))
		}
	}
	return networks, hosts, errors.Join(wrong...)
}

// parseNetwork returns the zero Prefix if entry is not meant to be a network.
func parseNetwork(entry string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(entry); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q has a zone; leave out the %% and what follows", entry)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if !strings.Contains(entry, "/") || strings.Contains(entry, "//") {
		return netip.Prefix{}, nil
	}
	network, err := netip.ParsePrefix(entry)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%q is not a network; write it as 10.1.0.0/16 or fd00::/8", entry)
	case network.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4 network within IPv6; write it as IPv4", entry)
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has address bits beyond its prefix; write %s for the network", entry, network.Masked())
	}
	return network, nil
}

// hostName returns entry as a host name in lower case, or "" if it is not one. A name whose
// last label is a number is a mistyped address.
func hostName(entry string) string {
	name := strings.TrimSuffix(strings.ToLower(entry), ".")
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return ""
		}
	}
	last := labels[len(labels)-1]
	if len(name) > 253 || strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		return ""
	}
	return name
}

func (a Allow) host(name string) bool {
	return slices.Contains(a.Hosts, strings.TrimSuffix(strings.ToLower(name), "."))
}

func (a Allow) network(addr netip.Addr) bool {
	return slices.ContainsFunc(a.Networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}
