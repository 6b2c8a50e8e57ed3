package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/testkit"
	"integration-gateway/platform/tlsfiles"
)

// pems are files in a folder of a test, by name.
func pems(t *testing.T) map[string]string {
	t.Helper()
	a := testkit.NewAuthority(t)
	one, other := a.Issue(time.Hour, time.Minute), a.Issue(time.Hour, time.Minute)
	expired := a.Issue(time.Hour, -time.Minute)
	dir, paths := t.TempDir(), map[string]string{}
	for name, text := range map[string][]byte{"cert": one.Cert, "key": one.Key, "other cert": other.Cert, "other key": other.Key,
		"old cert": expired.Cert, "old key": expired.Key, "ca": a.PEM, "text": []byte("s3cr3t text"), "folder/x": nil} {
		paths[name] = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(paths[name]), 0o700))
		require.NoError(t, os.WriteFile(paths[name], text, 0o600))
	}
	paths["folder"], paths["none"] = filepath.Join(dir, "folder"), filepath.Join(dir, "none")
	return paths
}

type env = map[string]string

func TestTheListenersTLS(t *testing.T) {
	files := pems(t)
	for _, c := range []struct {
		sentence string
		env      env // values that name a file stand for its path
		wrong    []string
	}{
		{"a pair", env{"TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "key"}, nil},
		{"one that has expired is spoken of and taken", env{"TLS_CERT_FILE": "old cert", "TLS_KEY_FILE": "old key"}, nil},
		{"a certificate alone", env{"TLS_CERT_FILE": "cert"}, []string{"TLS_KEY_FILE: it is not set, though TLS_CERT_FILE is; set both, or neither"}},
		{"a key alone", env{"TLS_KEY_FILE": "key"}, []string{"TLS_CERT_FILE: it is not set, though TLS_KEY_FILE is"}},
		{"files that are not there", env{"TLS_CERT_FILE": "none", "TLS_KEY_FILE": "none"},
			[]string{"TLS_CERT_FILE: cannot be read: no such file or directory; name a PEM file", "TLS_KEY_FILE: cannot be read: no such file"}},
		{"a folder", env{"TLS_CERT_FILE": "folder", "TLS_KEY_FILE": "key"}, []string{"TLS_CERT_FILE: cannot be read: is a directory"}},
		{"another's key", env{"TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "other key"}, []string{"TLS_CERT_FILE: does not match the key: private key does not match"}},
		{"no PEM", env{"TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "text"}, []string{"TLS_CERT_FILE: does not match the key: failed to find any PEM data"}},
		{"the two the wrong way round", env{"TLS_CERT_FILE": "key", "TLS_KEY_FILE": "cert"}, []string{"TLS_CERT_FILE: does not match the key"}},

		{"a pair of its own for management", env{"MANAGEMENT_ADDR": ":0", "MANAGEMENT_TLS_CERT_FILE": "cert", "MANAGEMENT_TLS_KEY_FILE": "key"}, nil},
		{"half of one, in spite of the public pair", env{"TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "key", "MANAGEMENT_ADDR": ":0", "MANAGEMENT_TLS_CERT_FILE": "cert"},
			[]string{"MANAGEMENT_TLS_KEY_FILE: it is not set, though MANAGEMENT_TLS_CERT_FILE is"}},
		{"another's key for management", env{"MANAGEMENT_ADDR": ":0", "MANAGEMENT_TLS_CERT_FILE": "cert", "MANAGEMENT_TLS_KEY_FILE": "other key"},
			[]string{"MANAGEMENT_TLS_CERT_FILE: does not match the key"}},
		{"both wrong, each by its name", env{"TLS_CERT_FILE": "cert", "MANAGEMENT_ADDR": ":0", "MANAGEMENT_TLS_CERT_FILE": "none", "MANAGEMENT_TLS_KEY_FILE": "key"},
			[]string{"TLS_KEY_FILE: it is not set", "MANAGEMENT_TLS_CERT_FILE: cannot be read"}},
		{"one for no listener", env{"MANAGEMENT_TLS_CERT_FILE": "cert", "MANAGEMENT_TLS_KEY_FILE": "key"}, []string{"MANAGEMENT_ADDR: it is not set, and MANAGEMENT_TLS_CERT_FILE"}},

		{"certificates of senders", env{"TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "key", "CLIENT_CA_FILE": "ca"}, nil},
		{"certificates of senders without TLS", env{"CLIENT_CA_FILE": "ca"}, []string{"CLIENT_CA_FILE: clients show certificates over TLS alone"}},
		{"authorities of senders that are none", env{"TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "key", "CLIENT_CA_FILE": "text"}, []string{"CLIENT_CA_FILE: contains no certificate"}},
		{"certificates from a proxy", env{"CLIENT_CERT_HEADER": "Client-Cert", "TRUSTED_PROXIES": "10.0.0.0/8"}, nil},
		{"certificates from anybody", env{"CLIENT_CERT_HEADER": "Client-Cert"}, []string{"CLIENT_CERT_HEADER: it is believed from TRUSTED_PROXIES alone"}},
		{"client certificates", env{"MANAGEMENT_ADDR": ":0", "MANAGEMENT_TLS_CERT_FILE": "cert", "MANAGEMENT_TLS_KEY_FILE": "key", "MANAGEMENT_CLIENT_CA_FILE": "ca"}, nil},
		{"client certificates with the public pair", env{"MANAGEMENT_ADDR": ":0", "TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "key", "MANAGEMENT_CLIENT_CA_FILE": "ca"}, nil},
		{"client certificates for no listener", env{"TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "key", "MANAGEMENT_CLIENT_CA_FILE": "ca"},
			[]string{"MANAGEMENT_ADDR: it is not set, and"}},
		{"client certificates without TLS", env{"MANAGEMENT_ADDR": ":0", "MANAGEMENT_CLIENT_CA_FILE": "ca"},
			[]string{"MANAGEMENT_CLIENT_CA_FILE: clients show certificates over TLS alone"}},
		{"authorities that are none", env{"MANAGEMENT_ADDR": ":0", "TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "key", "MANAGEMENT_CLIENT_CA_FILE": "text"},
			[]string{"MANAGEMENT_CLIENT_CA_FILE: contains no certificate"}},
		{"authorities that are not there, and no pair", env{"MANAGEMENT_ADDR": ":0", "TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "other key", "MANAGEMENT_CLIENT_CA_FILE": "text"},
			[]string{"TLS_CERT_FILE: does not match the key", "MANAGEMENT_CLIENT_CA_FILE: contains no certificate"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, enough, located(files, c.env))
			_, err := Load(Options{Role: Serve})
			if c.wrong == nil {
				require.NoError(t, err)
				return
			}
			var mistakes Mistakes
			require.ErrorAs(t, err, &mistakes)
			require.Len(t, mistakes, len(c.wrong), "%v", err)
			for _, wrong := range c.wrong {
				require.ErrorContains(t, err, wrong)
			}
			require.NotContains(t, err.Error(), "s3cr3t")
			require.NotContains(t, err.Error(), files["folder"][:len(files["folder"])-len("folder")], "no path: it may be the key itself")
		})
	}
}

func located(files, given env) env {
	paths := env{}
	for name, value := range given {
		paths[name] = value
		if path, is := files[value]; is {
			paths[name] = path
		}
	}
	return paths
}

func TestWhoseTLSItIs(t *testing.T) {
	files := pems(t)
	public, own := tlsfiles.Paths{Cert: files["cert"], Key: files["key"]}, tlsfiles.Paths{Cert: files["other cert"], Key: files["other key"]}
	set := located(files, env{"TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "key", "MANAGEMENT_ADDR": ":0"})
	setup(t, enough, set)
	c, err := Load(Options{Role: Serve})
	require.NoError(t, err)
	require.Equal(t, Listeners{Public: public, Management: public, OIDC: c.Listeners.OIDC}, c.Listeners, "the management listener has the public pair")

	setup(t, enough, set, located(files, env{"MANAGEMENT_TLS_CERT_FILE": "other cert", "MANAGEMENT_TLS_KEY_FILE": "other key"}))
	c, err = Load(Options{Role: Serve})
	require.NoError(t, err)
	require.Equal(t, Listeners{Public: public, Management: own, OIDC: c.Listeners.OIDC}, c.Listeners, "or its own")

	setup(t, located(files, env{"TLS_CERT_FILE": "cert", "TLS_KEY_FILE": "key", "MANAGEMENT_CLIENT_CA_FILE": "none"}))
	c, err = Load(Options{Role: Dev})
	require.NoError(t, err, "dev has one listener")
	require.Equal(t, Listeners{Public: public, OIDC: c.Listeners.OIDC}, c.Listeners)

	setup(t, enough, env{"TLS_CERT_FILE": "/no/such", "OIDC_AUDIENCE": "x"})
	for _, role := range []Role{Work, Migrate, Seed, Send} {
		c, err = Load(Options{Role: role})
		require.NoError(t, err, "%s does not listen", role)
		require.Empty(t, c.Listeners)
	}
}

func TestTheIssuerOfTokens(t *testing.T) {
	const url = "https://login.example.com/realms/ops"
	for _, c := range []struct {
		sentence string
		env      env
		wrong    string
	}{
		{"an issuer and an audience", env{"OIDC_ISSUER": url, "OIDC_AUDIENCE": "gateway"}, ""},
		{"one whose name ends in a slash", env{"OIDC_ISSUER": "https://tenant.example.com/", "OIDC_AUDIENCE": "gateway"}, ""},
		{"without an audience", env{"OIDC_ISSUER": url}, "OIDC_AUDIENCE: it is not set, and a token that the issuer made for somebody else"},
		{"an audience alone", env{"OIDC_AUDIENCE": "gateway"}, "OIDC_ISSUER: it is not set"},
		{"a claim of sources alone", env{"OIDC_SOURCES_CLAIM": "sources"}, "OIDC_ISSUER: it is not set"},
		{"in the clear", env{"OIDC_ISSUER": "http://login.example.com", "OIDC_AUDIENCE": "gateway"}, "OIDC_ISSUER: it is not an issuer URL; write one such as https://"},
		{"in the clear on this machine", env{"OIDC_ISSUER": "http://127.0.0.1:8080/realms/ops", "OIDC_AUDIENCE": "gateway"}, ""},
		{"by its other names", env{"OIDC_ISSUER": "http://localhost:8080", "OIDC_AUDIENCE": "gateway"}, ""},
		{"nor by one that looks like them", env{"OIDC_ISSUER": "http://localhost.example.com", "OIDC_AUDIENCE": "gateway"}, "OIDC_ISSUER: it is not an issuer URL"},
		{"but not in production", env{"OIDC_ISSUER": "http://[::1]:8080", "OIDC_AUDIENCE": "gateway", "APP_ENV": "production", "SECRETS_KEY": goodSecrets}, "OIDC_ISSUER: it is not https"},
		{"with a password", env{"OIDC_ISSUER": "https://u:hunter2@login.example.com", "OIDC_AUDIENCE": "gateway"}, "OIDC_ISSUER: it is not an issuer URL"},
		{"with a query", env{"OIDC_ISSUER": url + "?x=1", "OIDC_AUDIENCE": "gateway"}, "OIDC_ISSUER: it is not an issuer URL"},
		{"a name alone", env{"OIDC_ISSUER": "login.example.com", "OIDC_AUDIENCE": "gateway"}, "OIDC_ISSUER: it is not an issuer URL"},
		{"a client", env{"OIDC_ISSUER": url, "OIDC_AUDIENCE": "gateway", "OIDC_CLIENT_ID": "console", "OIDC_CLIENT_SECRET": "x", "OIDC_SCOPES": "openid groups"}, ""},
		{"a client without an issuer", env{"OIDC_CLIENT_ID": "console"}, "OIDC_ISSUER: it is not set"},
		{"a secret without a client", env{"OIDC_ISSUER": url, "OIDC_AUDIENCE": "gateway", "OIDC_CLIENT_SECRET": "x"}, "OIDC_CLIENT_ID: it is not set, though OIDC_CLIENT_SECRET is"},
		{"a secret with a space", env{"OIDC_ISSUER": url, "OIDC_AUDIENCE": "gateway", "OIDC_CLIENT_ID": "console", "OIDC_CLIENT_SECRET": "x y"}, "OIDC_CLIENT_SECRET: it holds characters"},
		{"scopes that bring no ID token", env{"OIDC_SCOPES": "profile"}, "OIDC_SCOPES: openid is not among them"},
		{"roles", env{"OIDC_ROLES": "gateway-read=viewer, sre=admin ops=admin"}, ""},
		{"a value with an equals sign", env{"OIDC_ROLES": "cn=sre=admin"}, ""},
		{"roles that are none", env{"OIDC_ROLES": "sre=root"}, "OIDC_ROLES: one of its parts has a role that is unknown; write viewer, operator or admin"},
		{"a role for nothing", env{"OIDC_ROLES": "=admin"}, "OIDC_ROLES: one of its parts is not value=role"},
		{"a value without a role", env{"OIDC_ROLES": "sre"}, "OIDC_ROLES: one of its parts is not value=role"},
		{"a value with two", env{"OIDC_ROLES": "sre=admin,sre=viewer"}, "OIDC_ROLES: one of its values stands there twice"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, enough, c.env)
			cfg, err := Load(Options{Role: Serve})
			if c.wrong != "" {
				require.ErrorContains(t, err, c.wrong)
				require.Len(t, err, 1)
				require.NotContains(t, err.Error(), "hunter2")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.env["OIDC_ISSUER"], cfg.Listeners.OIDC.Issuer, "letter for letter")
		})
	}
	setup(t, enough, env{"OIDC_ROLES": "gateway-read=viewer, sre=admin cn=ops=admin"})
	c, err := Load(Options{Role: Serve})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"gateway-read": "viewer", "sre": "admin", "cn=ops": "admin"}, c.Listeners.OIDC.Roles)
}
