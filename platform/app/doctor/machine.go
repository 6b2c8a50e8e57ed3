package doctor

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"integration-gateway/platform/config"
	"integration-gateway/platform/tlsfiles"
)

// Settings judges the configuration of a process with that role.
func Settings(cfg config.Config, role string, mistakes config.Mistakes, misspelt []config.Mistake) []Finding {
	var found []Finding
	for _, m := range mistakes {
		name := m.Name
		if m.Where != "" {
			name = m.Where
		}
		found = append(found, fail(m.Fix, "%s: %s", name, m.Problem))
	}
	if len(mistakes) == 0 {
		found = append(found, ok("the settings are valid for %s; their fingerprint is %s", role, cfg.Fingerprint))
	}
	for _, m := range misspelt {
		found = append(found, warn(m.Fix, "%s: %s", m.Name, m.Problem))
	}
	return found
}

// The free space below which an embedded database needs attention: a checkpoint of its log,
// or a busy day, takes hundreds of megabytes.
const (
	diskWarn = 2 << 30
	diskFail = 200 << 20
)

// Disk judges the space in the folder of an embedded database, in bytes. err says that it is
// not known.
func Disk(free, total uint64, err error) []Finding {
	const fix = "make room, or let RETENTION_EVENTS remove events sooner"
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return []Finding{ok("the free space cannot be read on this system")}
	case err != nil:
		return []Finding{warn("look at the folder's disk", "the free space cannot be read: %s", err)}
	case free < diskFail:
		return []Finding{fail(fix, "%s are free of %s", Size(free), Size(total))}
	case free < diskWarn || total > 0 && free < total/20:
		return []Finding{warn(fix, "%s are free of %s", Size(free), Size(total))}
	}
	return []Finding{ok("%s are free of %s", Size(free), Size(total))}
}

// File judges who may read an embedded database, which holds payloads and headers.
func File(mode os.FileMode) []Finding {
	if mode.Perm()&0o077 != 0 {
		return []Finding{warn("chmod 600 the file and those beside it", "others on this machine may read the database (%s)", mode.Perm())}
	}
	return nil
}

// certificateNotice is how long before its end a certificate is warned of, as while the
// gateway runs: a fifth of its life, at most this.
const certificateNotice = 14 * 24 * time.Hour

// Certificates judges the files of the listeners' certificates, each under its setting.
func Certificates(paths map[string]tlsfiles.Paths, now time.Time) []Finding {
	var found []Finding
	for _, setting := range []string{"TLS_CERT_FILE", "MANAGEMENT_TLS_CERT_FILE"} {
		p, is := paths[setting]
		if !is || p.Cert == "" {
			continue
		}
		life, err := tlsfiles.LifeOf(p)
		if err != nil {
			found = append(found, fail("see gateway config check", "%s: %s", setting, err))
			continue
		}
		found = append(found, certificate(setting, life, now))
	}
	if len(found) == 0 {
		return []Finding{ok("no listener has one: TLS is terminated upstream, or not used")}
	}
	return found
}

func certificate(setting string, life tlsfiles.Life, now time.Time) Finding {
	const fix = "renew it; the new file is loaded without a restart"
	left := life.Until.Sub(now)
	day := life.Until.UTC().Format(time.DateOnly)
	switch {
	case now.Before(life.From):
		return fail("correct this machine's clock, or give the right certificate", "%s: it is valid from %s on", setting, life.From.UTC().Format(time.DateOnly))
	case left <= 0:
		return fail(fix, "%s: it expired on %s: clients refuse it", setting, day)
	case left < min(certificateNotice, life.Until.Sub(life.From)/5):
		return warn(fix, "%s: it expires on %s", setting, day)
	}
	return ok("%s is valid until %s", setting, day)
}

// Exposure judges which of the listeners can be reached from where.
func Exposure(cfg config.Config, role string) []Finding {
	var found []Finding
	serves := role != "work"
	switch {
	case !serves:
	case cfg.ManagementAddr != "":
		if exposed(cfg.ManagementAddr) && cfg.Listeners.Management.Cert == "" {
			found = append(found, warn("set MANAGEMENT_TLS_CERT_FILE and MANAGEMENT_TLS_KEY_FILE, or listen on an address that only a TLS proxy reaches",
				"the management API is at %s without TLS: keys cross the network in plain text", cfg.ManagementAddr))
		}
	case exposed(net.JoinHostPort(cfg.HTTP.Host, "1")):
		found = append(found, warn("set MANAGEMENT_ADDR to an address that only operators reach",
			"the management API is answered where webhooks are, on %s: everyone who can send a webhook can try keys", cfg.HTTP.Host))
	}
	if serves && cfg.Env == config.Production && strings.HasPrefix(cfg.HTTP.PublicBaseURL, "http://") {
		found = append(found, warn("give the gateway's https address", "PUBLIC_BASE_URL is not https: webhooks cross the network in plain text"))
	}
	if cfg.MetricsAddr != "" && !cfg.MetricsInAPI && exposed(cfg.MetricsAddr) {
		found = append(found, warn("let only Prometheus reach it, or listen on 127.0.0.1", "METRICS_ADDR (%s) answers everyone without a credential", cfg.MetricsAddr))
	}
	for _, network := range cfg.HTTP.TrustedProxies {
		if network.Bits() == 0 {
			found = append(found, warn("name the proxies' own addresses", "TRUSTED_PROXIES trusts everyone: every client can choose the address that limits count it under"))
			break
		}
	}
	if serves && cfg.ManagementKey.Equal(config.DemoKey) {
		found = append(found, demoKey(cfg))
	}
	if len(found) == 0 {
		return []Finding{ok("no listener is reachable from further than it should be")}
	}
	return found
}

func demoKey(cfg config.Config) Finding {
	if exposed(net.JoinHostPort(cfg.HTTP.Host, "1")) {
		return fail("set MANAGEMENT_API_KEY to a key of your own", "the management key is the well-known one of gateway dev, and other machines may reach it")
	}
	return ok("the management key is the well-known one of gateway dev, for this machine alone")
}

// exposed reports whether other machines may reach an address to listen on.
func exposed(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return host != "localhost" && (err != nil || !ip.IsLoopback())
}
