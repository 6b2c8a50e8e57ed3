package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"integration-gateway/platform/secret"
	"integration-gateway/platform/tlsfiles"
)

// Listeners holds what the listeners ask of callers: TLS, client certificates, OpenID Connect.
type Listeners struct {
	Public     tlsfiles.Paths // its Cert is empty without TLS
	Management tlsfiles.Paths // of MANAGEMENT_ADDR; the public pair where it has none of its own
	OIDC       OIDC
}

// OIDC says whose bearer tokens the management API believes.
type OIDC struct {
	Issuer       string // "": nobody's
	Audience     string
	RoleClaim    string
	Roles        map[string]string // roles by the claim's values
	SourcesClaim string            // "": tokens are confined to no sources
	ClientID     string            // with which the console signs people in; "": by keys alone
	ClientSecret secret.Value      // empty for a public client
	Scopes       []string          // which the console asks for
}

// The roles, each meant by a value of its own name where OIDC_ROLES says nothing else.
const defaultRoles = "viewer=viewer,operator=operator,admin=admin"

func tlsSettings(c *Config) section {
	d := &c.Listeners
	return section{title: "TLS", help: "All files are PEM. Changed files are loaded within seconds, without a restart. See [TLS](deployment.md#tls).", settings: []setting{
		{name: "TLS_CERT_FILE", blank: true, read: pemFile(&d.Public.Cert), by: listeners,
			unset: "plain HTTP, for a proxy in front that terminates TLS",
			help:  "The certificate that webhook senders see, followed by its intermediate certificates."},
		{name: "TLS_KEY_FILE", blank: true, read: pemFile(&d.Public.Key), by: listeners,
			unset: "plain HTTP",
			help:  "The private key of `TLS_CERT_FILE`."},
		{name: "CLIENT_CA_FILE", blank: true, read: pemFile(&d.Public.ClientCA), by: listeners,
			unset: "no client certificate is asked for",
			help:  "The authorities that issue the client certificates of webhook senders, for providers of the scheme `certificate`. A sender may have none; one of another authority cannot connect."},
		{name: "CLIENT_CERT_HEADER", blank: true, read: headerName(&c.HTTP.ClientCertHeader), by: listeners,
			unset: "no proxy reports client certificates",
			help:  "The header in which the `TRUSTED_PROXIES` report a client certificate that they have verified: `Client-Cert` (RFC 9440), or one with a PEM certificate in URL encoding. The proxy must remove it from what clients send."},
		{name: "MANAGEMENT_TLS_CERT_FILE", blank: true, read: pemFile(&d.Management.Cert), by: servers,
			unset: "the public certificate",
			help:  "The certificate of the listener at `MANAGEMENT_ADDR`."},
		{name: "MANAGEMENT_TLS_KEY_FILE", blank: true, read: pemFile(&d.Management.Key), by: servers,
			unset: "the public key",
			help:  "The private key of `MANAGEMENT_TLS_CERT_FILE`."},
		{name: "MANAGEMENT_CLIENT_CA_FILE", blank: true, read: pemFile(&d.Management.ClientCA), by: servers,
			unset: "no client certificate is asked for",
			help:  "The authorities that issue client certificates for the listener at `MANAGEMENT_ADDR`. Callers need a certificate in addition to a key or token."},
	}}
}

func tokenSettings(c *Config) section {
	d := &c.Listeners
	return section{title: "OpenID Connect tokens", help: "The management API can accept bearer tokens beside keys. See [Tokens](security.md#tokens).", settings: []setting{
		{name: "OIDC_ISSUER", blank: true, read: issuer(&d.OIDC.Issuer), by: listeners,
			unset: "only keys are accepted",
			help:  "The issuer whose tokens are accepted, exactly as the tokens' `iss` has it, such as `https://login.example.com/realms/ops`. Outside production it may be `http://` on loopback."},
		{name: "OIDC_AUDIENCE", blank: true, read: verbatim(&d.OIDC.Audience), by: listeners,
			unset: "no audience",
			help:  "What a token's `aud` must hold. It is required with `OIDC_ISSUER`."},
		{name: "OIDC_ROLE_CLAIM", fallback: "roles", read: verbatim(&d.OIDC.RoleClaim), by: listeners,
			help: "The claim that holds a token's roles: a name, or a path such as `realm_access.roles`. The claim may be a list or words in one text."},
		{name: "OIDC_ROLES", fallback: defaultRoles, read: roles(&d.OIDC.Roles), by: listeners,
			help: "Maps the claim's values to the roles `viewer`, `operator` and `admin`. A token without any of these values may do nothing."},
		{name: "OIDC_SOURCES_CLAIM", blank: true, read: verbatim(&d.OIDC.SourcesClaim), by: listeners,
			unset: "tokens are not confined to sources",
			help:  "The claim that lists the sources a token is confined to; `*` is all of them."},
		{name: "OIDC_CLIENT_ID", blank: true, read: verbatim(&d.OIDC.ClientID), by: listeners,
			unset: "people sign in to the console by keys alone",
			help:  "The issuer's client with which people sign in to the [console](console.md#signing-in-with-an-issuer), for the authorization code flow with PKCE. Its redirect URI is the console's address and `/sign-in/callback`."},
		{name: "OIDC_CLIENT_SECRET", blank: true, read: clientSecret(&d.OIDC.ClientSecret), by: listeners,
			unset: "a public client, which PKCE alone protects",
			help:  "The secret of `OIDC_CLIENT_ID`, if the issuer gave it one."},
		{name: "OIDC_SCOPES", fallback: "openid", read: scopes(&d.OIDC.Scopes), by: listeners,
			help: "The scopes that the console asks for, `openid` among them: those that bring the claims of roles and sources into the tokens, such as `openid profile groups`."},
	}}
}

// pemFile takes the path of a file, which checkFiles reads.
func pemFile(into *string) reader { return reader{"path of a PEM file", verbatim(into).set} }

// headerName takes the name of a header.
func headerName(into *string) reader {
	return reader{"name of a header", func(text string) error {
		if text != "" && !httpguts.ValidHeaderFieldName(text) {
			return problem{"is not the name of a header", "write a name such as Client-Cert"}
		}
		*into = text
		return nil
	}}
}

func verbatim(into *string) reader {
	return reader{"text", func(text string) error {
		*into = text
		return nil
	}}
}

// clientSecret takes what an issuer made, which may have any length.
func clientSecret(into *secret.Value) reader {
	return reader{"text of printable ASCII characters without spaces", func(text string) error {
		if text == "" {
			*into = secret.Value{}
			return nil
		}
		return key(into, 1).set(text)
	}}
}

// scopes reads words, of which one is openid: without it an issuer gives no ID token.
func scopes(into *[]string) reader {
	return reader{"words, one of them `openid`", func(text string) error {
		all := list(text)
		if !slices.Contains(all, "openid") {
			return wrong("openid is not among them", "write such as openid profile groups")
		}
		*into = all
		return nil
	}}
}

// issuer takes an issuer's URL as it is, since tokens must have the same: a slash at its
// end belongs to it. It is https, or nobody could tell whose keys those are; on this
// machine it may be http, which production refuses.
func issuer(into *string) reader {
	return reader{"URL that starts with `https://`", func(text string) error {
		*into = ""
		if text == "" {
			return nil
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && (u.Scheme != "http" || !onLoopback(u)) {
			return wrong("it is not an issuer URL", "write one such as https://login.example.com/realms/ops, just as the tokens' iss has it")
		}
		*into = text
		return nil
	}}
}

func onLoopback(u *url.URL) bool {
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && addr.IsLoopback()
}

// roles reads value=role, separated by commas.
func roles(into *map[string]string) reader {
	return reader{"list of `value=role`", func(text string) error {
		all := map[string]string{}
		for _, part := range list(text) {
			at := strings.LastIndexByte(part, '=')
			if at < 1 {
				return wrong("one of its parts is not value=role", "write such as gateway-read=viewer,sre=admin")
			}
			value, role := part[:at], part[at+1:]
			if role != "viewer" && role != "operator" && role != "admin" {
				return wrong("one of its parts has a role that is unknown", "write viewer, operator or admin behind each =")
			}
			if _, twice := all[value]; twice {
				return wrong("one of its values stands there twice", "give each value one role")
			}
			all[value] = role
		}
		*into = all
		return nil
	}}
}

// completeDoors gives the management listener the public pair where it has none, and
// keeps from roles that do not listen what only listeners need.
func completeDoors(c *Config, o Options) {
	if o.Role != Serve && o.Role != Dev {
		c.Listeners = Listeners{}
		return
	}
	c.Listeners.Public.Optional = c.Listeners.Public.ClientCA != ""
	if c.ManagementAddr != "" && c.Listeners.Management.Cert == "" && c.Listeners.Management.Key == "" {
		c.Listeners.Management.Cert, c.Listeners.Management.Key = c.Listeners.Public.Cert, c.Listeners.Public.Key
	}
}

// checkDoors is for roles that listen: completeDoors leaves the others nothing.
func checkDoors(c Config, m *Mistakes) {
	public, own := c.Listeners.Public, c.Listeners.Management
	checkFiles(public, "TLS_CERT_FILE", "TLS_KEY_FILE", m)
	switch {
	case public.ClientCA != "" && public.Cert == "" && public.Key == "":
		m.add("CLIENT_CA_FILE", "clients show certificates over TLS alone, and this listener has none", "set TLS_CERT_FILE and TLS_KEY_FILE, or have the proxy report certificates in CLIENT_CERT_HEADER")
	case c.HTTP.ClientCertHeader != "" && len(c.HTTP.TrustedProxies) == 0 && !m.has("TRUSTED_PROXIES"):
		m.add("CLIENT_CERT_HEADER", "it is believed from TRUSTED_PROXIES alone, and none is set", "name the proxy's addresses in TRUSTED_PROXIES, or unset it")
	}
	switch {
	case own == tlsfiles.Paths{}:
	case c.ManagementAddr == "":
		if !m.has("MANAGEMENT_ADDR") {
			m.add("MANAGEMENT_ADDR", "it is not set, and MANAGEMENT_TLS_CERT_FILE, MANAGEMENT_TLS_KEY_FILE and MANAGEMENT_CLIENT_CA_FILE are for the listener there",
				"give the management API an address of its own, or unset these")
		}
	case own.Cert == "" && own.Key == "":
		m.add("MANAGEMENT_CLIENT_CA_FILE", "clients show certificates over TLS alone, and the management listener has none",
			"set MANAGEMENT_TLS_CERT_FILE and MANAGEMENT_TLS_KEY_FILE, or TLS_CERT_FILE and TLS_KEY_FILE for both listeners")
	case own.Cert == public.Cert && own.Key == public.Key:
		checkFiles(own, "TLS_CERT_FILE", "TLS_KEY_FILE", m)
	default:
		checkFiles(own, "MANAGEMENT_TLS_CERT_FILE", "MANAGEMENT_TLS_KEY_FILE", m)
	}
	checkOIDC(c, m)
}

// checkFiles refuses half a pair, and files that cannot be used, before anything starts.
func checkFiles(p tlsfiles.Paths, cert, key string, m *Mistakes) {
	names := map[string]string{tlsfiles.Cert: cert, tlsfiles.Key: key, tlsfiles.ClientCA: "MANAGEMENT_CLIENT_CA_FILE"}
	if p.Optional {
		names[tlsfiles.ClientCA] = "CLIENT_CA_FILE"
	}
	switch {
	case p.Cert == "" && p.Key == "":
	case p.Cert == "":
		m.add(cert, "it is not set, though "+key+" is", "set both, or neither for plain HTTP")
	case p.Key == "":
		m.add(key, "it is not set, though "+cert+" is", "set both, or neither for plain HTTP")
	default:
		for _, mistake := range tlsfiles.Check(p) {
			if name := names[mistake.File]; !m.has(name) {
				m.add(name, mistake.What, "%s", mistake.Fix)
			}
		}
	}
}

func checkOIDC(c Config, m *Mistakes) {
	o := c.Listeners.OIDC
	switch {
	case o.Issuer == "" && !m.has("OIDC_ISSUER") && (o.Audience != "" || o.SourcesClaim != "" || o.ClientID != "" || !o.ClientSecret.Empty()):
		m.add("OIDC_ISSUER", "it is not set, though OIDC_AUDIENCE, OIDC_SOURCES_CLAIM, OIDC_CLIENT_ID or OIDC_CLIENT_SECRET is", "write the issuer's URL, or unset these")
	case o.Issuer != "" && o.Audience == "":
		m.add("OIDC_AUDIENCE", "it is not set, and a token that the issuer made for somebody else must not open this gateway",
			"write what the tokens' aud holds, such as the client id that the issuer has for the gateway")
	case o.ClientID == "" && !o.ClientSecret.Empty():
		m.add("OIDC_CLIENT_ID", "it is not set, though OIDC_CLIENT_SECRET is", "write the id that the issuer gave the client, or unset the secret")
	case c.Env == Production && strings.HasPrefix(o.Issuer, "http://"):
		m.add("OIDC_ISSUER", "it is not https", "in production keys come over TLS alone")
	}
}
