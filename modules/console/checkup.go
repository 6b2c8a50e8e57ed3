package console

import (
	"net/http"
	"time"
)

// checkupLine is something that was looked at: good, or what is wrong and what to do.
type checkupLine struct{ Kind, Text, Fix string }

// What is late, for the checkup. The alerts have thresholds of their own, which are finer.
const (
	clockOff       = 1000           // ms that a process's clock may differ from the database's
	lateSeconds    = 300            // of a due delivery, the outbox and the seals
	partitionsLeft = 3 * 24 * 3600  // seconds
	checkAge       = 26 * time.Hour // of the consistency check, which runs once a day
)

// checkup judges what the page shows, as `gateway doctor` judges an installation.
func (p systemPage) checkup(now time.Time) []checkupLine {
	var lines []checkupLine
	say := func(wrong bool, kind, bad, fix, good string) {
		if wrong {
			lines = append(lines, checkupLine{kind, bad, fix})
		} else if good != "" {
			lines = append(lines, checkupLine{"good", good, ""})
		}
	}
	for _, name := range p.Names {
		role := name
		if r, known := map[string]string{"postgres": "database", "rabbitmq": "broker", "redis": "cache"}[name]; known {
			role = r
		}
		say(p.Health.Checks[name].Status != "ok", "bad", "The "+role+" does not answer.", "gateway doctor says why.", "The "+role+" answers.")
	}
	p.checkProcesses(say)
	g := p.Stats.Gateway
	say(g.Now.OldestDue > lateSeconds, "bad", "The oldest due delivery has waited for "+seconds(g.Now.OldestDue)+".", "Look at the destinations first; then start another worker.", "Due deliveries are sent in time.")
	say(g.OutboxLag > lateSeconds, "bad", "An accepted event has not been published for "+seconds(g.OutboxLag)+".", "See whether the broker answers, and whether a worker runs.", "Accepted events are published.")
	say(g.SealLag > lateSeconds, "bad", "Audit entries have not been sealed for "+seconds(g.SealLag)+".", "See the log of the workers.", "The audit trail is sealed.")
	for _, part := range p.Partition {
		say(part.Ahead < partitionsLeft, "bad", part.Table+" has partitions for "+seconds(part.Ahead)+"; then webhooks are refused.", "Run gateway partitions; see the log of the workers.", "")
	}
	switch c := g.Check; {
	case c == nil:
		say(true, "off", "The records have not been checked yet.", "It happens once a day; gateway verify does it now.", "")
	case !c.Holds:
		say(true, "bad", "The last consistency check found "+plural(c.Problems, "problem", "problems")+".", "gateway verify names them; gateway verify --repair mends most.", "")
	default:
		say(now.Sub(c.FinishedAt.Time) > checkAge, "warn", "The records were last checked more than a day ago.", "See whether a worker runs.", "The records fit together.")
	}
	return lines
}

func (p systemPage) checkProcesses(say func(wrong bool, kind, bad, fix, good string)) {
	versions, running := map[string]bool{}, 0
	for _, process := range p.Processes {
		switch process.state() {
		case "running":
			running++
			versions[process.Version] = true
			ahead := process.ClockAhead
			say(max(ahead, -ahead) > clockOff, "warn", "The clock of "+process.Host+" differs from the database's by "+millis(ahead)+".", "Synchronise it (NTP).", "")
		case "lost":
			say(true, "warn", "A process on "+process.Host+" stopped answering "+relative(p.now.Sub(process.LostAt.Time))+"; its work was taken over.", "See why it ended: memory, a deploy, the machine.", "")
		}
	}
	say(len(versions) > 1, "warn", "Processes of different versions run.", "Finish the upgrade.", plural(running, "process runs", "processes run")+", all of one version.")
}

// settingsPage are the settings in force, each with where it is from.
type settingsPage struct {
	Process     string       `json:"process"`
	Version     string       `json:"version"`
	Fingerprint string       `json:"fingerprint"`
	Own         []string     `json:"providers"`
	Settings    []settingRow `json:"settings"`

	All  bool // the defaults too
	Left int  // settings that have their default
}

type settingRow struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Origin  string `json:"origin"`
	From    string `json:"from"`
	Secret  bool   `json:"secret"`
	Reloads bool   `json:"reloads"`
}

func (m *Module) settings(v *visit) error {
	p := settingsPage{All: v.param("all") != ""}
	if _, err := v.get("/settings", nil, &p); err != nil {
		return err
	}
	var shown []settingRow
	for _, s := range p.Settings {
		if s.Origin == "default" {
			p.Left++
		}
		if p.All || s.Origin != "default" {
			shown = append(shown, s)
		}
	}
	p.Settings = shown
	return v.showWith(http.StatusOK, "settings", "Settings", p, nil)
}
