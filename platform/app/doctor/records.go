package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"integration-gateway/modules/secrets"
	"integration-gateway/platform/database"
	"integration-gateway/platform/egress"
)

// Schema judges the database's tables.
func Schema(s database.Schema, err error) []Finding {
	switch {
	case err != nil:
		return Unread(err)
	case s.Version == 0:
		return []Finding{fail("run: gateway migrate up", "the database has no tables yet; this program needs version %d", s.Needed)}
	case s.Version > s.Needed && s.MinReader > s.Needed:
		return []Finding{fail("upgrade this program", "only programs of version %d and later work on version %d; this one is of version %d", s.MinReader, s.Version, s.Needed)}
	case s.Dirty && s.Version > s.Needed:
		return []Finding{warn("if no gateway migrate up of the newer release runs now, run it", "migration %d has not finished; this program works on its result", s.Version)}
	case s.Dirty:
		return []Finding{fail("if no gateway migrate up runs now, run it: it continues where the last one stopped", "migration %d has not finished", s.Version)}
	case len(s.Wrong) > 0:
		return []Finding{fail("use another database, or put the schema right by hand", "no release made this schema, which says it is at version %d: it has %s", s.Version, s.Differences())}
	case s.Version < s.Needed:
		return []Finding{fail("run: gateway migrate up", "version %d is older than %d, which this program needs", s.Version, s.Needed)}
	case len(s.Slow) > 0:
		return []Finding{warn("create the indexes again as in migrations/, with CONCURRENTLY", "version %d has %s, so that some statements are slow", s.Version, strings.Join(s.Slow, "; "))}
	case s.Version > s.Needed:
		return []Finding{warn("upgrade this program", "version %d is newer than %d, which this program knows; it works on it", s.Version, s.Needed)}
	}
	return []Finding{ok("version %d, as this program needs", s.Version)}
}

// Partitions judges how far ahead partitions exist.
func Partitions(ahead time.Duration, partitioned bool, err error) []Finding {
	const fix = "start gateway serve or run gateway migrate up, which create them; if it continues, look for retention errors in the log"
	switch {
	case err != nil:
		return Unread(err)
	case !partitioned:
		return nil
	case ahead <= 0:
		return []Finding{fail(fix, "there is no partition for new events: webhooks cannot be stored")}
	case ahead < 7*24*time.Hour:
		return []Finding{warn(fix, "partitions exist for the next %d hours only", int(ahead.Hours()))}
	}
	return []Finding{ok("partitions exist for the next %d days", int(ahead.Hours()/24))}
}

// Keys judges whether this machine's keys open what is stored. set says that there is a key;
// missing is the error of a start.
func Keys(set bool, missing error, opened secrets.Opened, err error) []Finding {
	switch {
	case missing != nil:
		return []Finding{fail("give the key that they were stored with in SECRETS_KEY or SECRETS_READ_KEYS", "%s", firstLine(missing))}
	case err != nil:
		return Unread(err)
	case len(opened.Failed) > 0:
		first := opened.Failed[0]
		return []Finding{fail("set these secrets again with gateway integrations", "%d of %d stored secrets cannot be opened, such as that of %s (%s): %s",
			len(opened.Failed), opened.Tried, first.Of, first.Kind, first.Problem)}
	case !set:
		return []Finding{warn("set SECRETS_KEY, for example from: openssl rand -hex 32; then gateway secrets rotate-key with SECRETS_READ_PLAIN=true",
			"SECRETS_KEY is not set: secrets are stored in plain text")}
	case opened.Tried == 0:
		return []Finding{ok("the key is there; no secret is stored yet")}
	}
	return []Finding{ok("the key is there; %d stored secrets were opened", opened.Tried)}
}

// Destination is where events go.
type Destination struct {
	ID     string `db:"id"`
	Source string `db:"source"`
	Host   string `db:"-"`
	Err    error  `db:"-"` // of resolving it, or of the rules
}

// shownDestinations limits the findings about destinations.
const shownDestinations = 10

// Egress judges where deliveries may go. proxyErr is the error of the proxy, if there is one.
func Egress(rules string, proxyErr error, all []Destination, more bool) []Finding {
	found := []Finding{ok("%s", rules)}
	if proxyErr != nil {
		found = append(found, away("check EGRESS_PROXY and that the proxy runs: nothing is delivered without it", "%s", proxyErr))
	}
	bad := 0
	for _, d := range all {
		if d.Err == nil {
			continue
		}
		if bad++; bad > shownDestinations {
			continue
		}
		var refusal egress.Refusal
		if errors.As(d.Err, &refusal) {
			found = append(found, fail("allow it in EGRESS_ALLOW if it is yours, or change the destination", "%s of %s (%s) is refused: %s", d.ID, d.Source, d.Host, refusal.Reason()))
			continue
		}
		found = append(found, warn("correct the destination's URL, or this machine's DNS", "%s of %s (%s): %s", d.ID, d.Source, d.Host, d.Err))
	}
	switch {
	case bad > shownDestinations:
		found = append(found, warn("mend the others first", "%d further destinations cannot be reached", bad-shownDestinations))
	case bad == 0 && len(all) > 0:
		found = append(found, ok("the hosts of %d destinations resolve and are allowed", len(all)))
	}
	if more {
		found = append(found, warn("none: deliveries show the others", "only the first %d destinations were looked at", len(all)))
	}
	return found
}

// Process is a process that runs.
type Process struct {
	Role    string `db:"role"`
	Version string `db:"version"`
	Host    string `db:"host"`
	AheadMS int64  `db:"clock_ahead_ms"` // of its clock, as it measured it
	ID      string `db:"id"`
}

// Processes judges those that run now. own is this program's version.
func Processes(all []Process, own string) []Finding {
	var versions []string
	serves, works := 0, 0
	for _, p := range all {
		if p.Role != "work" {
			serves++
		}
		if p.Role != "serve" {
			works++
		}
		if !slices.Contains(versions, p.Version) {
			versions = append(versions, p.Version)
		}
	}
	var found []Finding
	switch {
	case len(all) == 0:
		return []Finding{ok("no process runs")}
	case works == 0:
		found = append(found, warn("start gateway work", "%d processes serve, and none delivers", serves))
	case serves == 0:
		found = append(found, warn("start gateway serve", "%d processes deliver, and none takes webhooks", works))
	default:
		found = append(found, ok("%d processes take webhooks, %d deliver", serves, works))
	}
	found = append(found, clocks(all)...)
	slices.Sort(versions)
	if len(versions) > 1 {
		found = append(found, warn("finish the upgrade: restart the older ones", "they have different versions: %s", strings.Join(versions, ", ")))
	} else if versions[0] != own {
		found = append(found, warn("use the same version for the command line", "they have the version %s, and this program %s", versions[0], own))
	}
	return found
}

// clocks names the processes whose machines' clocks are wrong.
func clocks(all []Process) (found []Finding) {
	for _, p := range all {
		ahead := time.Duration(p.AheadMS) * time.Millisecond
		if ahead.Abs() <= skewWarn {
			continue
		}
		direction := "ahead of"
		if ahead < 0 {
			direction = "behind"
		}
		found = append(found, warn("synchronize the clock of "+p.Host+" (NTP)", "the clock of %s on %s (%s) is %s %s the database's; due times and signatures are judged by the database's",
			p.Role, p.Host, p.ID, ahead.Abs().Round(100*time.Millisecond), direction))
	}
	return found
}

// Size writes a number of bytes in the unit that reads best.
func Size(n uint64) string {
	value, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	at := 0
	for value >= 1024 && at < len(units)-1 {
		value, at = value/1024, at+1
	}
	return fmt.Sprintf("%.1f %s", value, units[at])
}
