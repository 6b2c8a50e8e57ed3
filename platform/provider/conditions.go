package provider

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/secret"
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

// onlyConditions reports whether all of these are lists of addresses or certificates, which no
// secret matches.
func onlyConditions(verifiers []Verifier) bool {
	return !slices.ContainsFunc(verifiers, func(v Verifier) bool {
		switch v := v.(type) {
		case Addresses:
			return false
		case Certificates:
			return v == nil
		}
		return true
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

// Certificates accepts requests over connections whose client showed one of these certificates.
// Without any, the integration's secrets name them. Whoever ends TLS has verified that the client
// has the private key, and that an authority issued the certificate.
type Certificates []Pin

// Pin names certificates: sha256:<fingerprint in hex>, cn:<common name of the subject> or
// dns:<alternative name>. A wildcard in a certificate stands for itself alone.
type Pin struct{ kind, value string }

// maxPins is the most certificates of one list.
const maxPins = 16

var fingerprint = regexp.MustCompile(`^[0-9a-f]{64}$`)

func parsePin(text string) (Pin, error) {
	kind, value, _ := strings.Cut(text, ":")
	if kind == "sha256" {
		value = strings.ToLower(strings.ReplaceAll(value, ":", "")) // as openssl prints it
	}
	switch {
	case kind == "sha256" && fingerprint.MatchString(value), kind == "cn" && value != "":
		return Pin{kind, value}, nil
	case kind == "dns" && value != "":
		return Pin{kind, strings.ToLower(value)}, nil
	}
	return Pin{}, errors.New("it must be sha256: and 64 hex digits, cn: and the subject's common name, or dns: and an alternative name")
}

// of reports whether the pin names a certificate.
func (p Pin) of(cert *x509.Certificate) bool {
	switch p.kind {
	case "sha256":
		sum := sha256.Sum256(cert.Raw)
		return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(p.value)) == 1
	case "cn":
		return cert.Subject.CommonName == p.value
	case "dns":
		return slices.ContainsFunc(cert.DNSNames, func(name string) bool { return strings.ToLower(name) == p.value })
	}
	return false
}

// Verify compares the client's certificate with the list, or else with every secret.
func (c Certificates) Verify(req Request, secrets []Secret) (Match, error) {
	if req.ClientCertificate == nil {
		return Match{}, refuse(WrongCertificate, "no client certificate can be known here")
	}
	cert, err := req.ClientCertificate()
	switch {
	case err != nil:
		return Match{}, refuse(WrongCertificate, "the client's certificate cannot be read: %s", err)
	case cert == nil:
		return Match{}, refuse(WrongCertificate, "the client showed no certificate")
	case req.ReceivedAt.Before(cert.NotBefore) || req.ReceivedAt.After(cert.NotAfter):
		return Match{}, refuse(WrongCertificate, "the client's certificate is valid from %s to %s", cert.NotBefore.Format(time.RFC3339), cert.NotAfter.Format(time.RFC3339))
	case c == nil:
		match, err := matchAny(secrets, func(text secret.Value) bool {
			pin, err := parsePin(text.Reveal())
			return err == nil && pin.of(cert)
		})
		if err != nil {
			return Match{}, wrongCertificate(cert)
		}
		return match, nil
	case !slices.ContainsFunc(c, func(p Pin) bool { return p.of(cert) }):
		return Match{}, wrongCertificate(cert)
	}
	return Match{}, nil
}

func wrongCertificate(cert *x509.Certificate) error {
	sum := sha256.Sum256(cert.Raw)
	return refuse(WrongCertificate, "the client's certificate is another one: cn:%s, sha256:%x", cert.Subject.CommonName, sum)
}

// certificate compiles the scheme certificate, and tells s what follows from it. Beside another
// proof the definition lists the certificates: their names are public, and a secret would also be
// tried as a key.
func (p Proof) certificate(c compiling, s *Spec) Verifier {
	var pins Certificates
	for i, text := range p.Certificates {
		pin, err := parsePin(text)
		if err != nil {
			c.wrong(fmt.Sprintf("certificates[%d]", i), "%s.", err)
		}
		pins = append(pins, pin)
	}
	switch {
	case len(p.Certificates) > maxPins:
		c.wrong("certificates", "It may list at most %d.", maxPins)
	case c.prefix == "" && pins != nil:
		c.wrong("certificates", "Without another proof the integration's secret names the certificate.")
	case c.prefix != "" && pins == nil:
		c.wrong("certificates", "It is required beside another proof: sha256:, cn: or dns: and the certificate's.")
	}
	if pins == nil {
		s.Public = true
		s.CheckSecret = func(v secret.Value) error {
			_, err := parsePin(v.Reveal())
			return err
		}
	}
	return pins
}
