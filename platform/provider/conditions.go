package provider

import (
	"fmt"
	"net/netip"
	"slices"
)

// Addresses accepts requests from chosen networks. An address proves neither who sent a
// request nor what is in it, so it stands beside another proof.
type Addresses []netip.Prefix

// maxNetworks is the most networks of one list.
const maxNetworks = 256

// Verify compares the client's address. No secret matches.
func (a Addresses) Verify(req Request, _ []Secret) (Match, error) {
	client := req.Client.Unmap()
	switch {
	case !client.IsValid():
		return Match{}, refuse(WrongAddress, "the client's address is not known")
	case !slices.ContainsFunc(a, func(network netip.Prefix) bool { return network.Contains(client) }):
		return Match{}, refuse(WrongAddress, "the client's address %s is in none of the %d networks", client, len(a))
	}
	return Match{}, nil
}

// addresses compiles the scheme addresses.
func (p Proof) addresses(c compiling) Addresses {
	if len(p.Addresses) == 0 || len(p.Addresses) > maxNetworks {
		c.wrong("addresses", "It must list 1 to %d networks, such as 192.0.2.0/24 or 2001:db8::1.", maxNetworks)
	}
	var all Addresses
	for i, text := range p.Addresses {
		network, err := parseNetwork(text)
		switch field := fmt.Sprintf("addresses[%d]", i); {
		case err != nil:
			c.wrong(field, "%q is not a network such as 192.0.2.0/24, or an address.", text)
		case network != network.Masked():
			c.wrong(field, "%s has bits beyond its length; write %s.", text, network.Masked())
		case network.Bits() == 0:
			c.wrong(field, "%s is every address.", text)
		}
		all = append(all, network)
	}
	return all
}

func parseNetwork(text string) (netip.Prefix, error) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		network, err := netip.ParsePrefix(text)
		if err == nil && network.Addr().Is4In6() {
			return network, fmt.Errorf("%s is an IPv4 network", text)
		}
		return network, err
	}
	if address.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%s has a zone", text)
	}
	address = address.Unmap()
	return netip.PrefixFrom(address, address.BitLen()), nil
}

// onlyAddresses reports whether nothing else proves a request.
func onlyAddresses(verifiers []Verifier) bool {
	return !slices.ContainsFunc(verifiers, func(v Verifier) bool {
		_, isList := v.(Addresses)
		return !isList
	})
}

// nonce compiles the place of a value that is good for one request. The signature must cover
// it, or a forger would change it; and the time, or it would have to be remembered for ever.
func (p Proof) nonce(c compiling, s Signed) *spot {
	if p.Nonce == "" {
		return nil
	}
	place, err := parseSpot(p.Nonce)
	named := slices.ContainsFunc(s.Over.spots(), func(other spot) bool { return other.String() == place.String() })
	inSigned := place.kind == inBody && (s.Over == nil || s.Over.names(partBody))
	switch {
	case err != nil:
		c.wrong("nonce", "%s.", err)
	case !named && !inSigned:
		c.wrong("nonce", "signature.over must include {%s}, or anybody could change it.", place)
	case !s.timed():
		c.wrong("timestamp.header", "A nonce is remembered for as long as a request is accepted: name the signed time.")
	}
	return &place
}
