package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"integration-gateway/platform/fault"
)

// integrationRow is a source with what arrived at it.
type integrationRow struct {
	integration
	Stats    sourceFigures
	LastSeen *event
}

type integrationsPage struct {
	Rows     []integrationRow
	Archived int
}

func (m *Module) integrations(v *visit) error {
	var d directory
	var stats figures
	if err := v.together(v.directoryInto(&d), v.into("/stats", nil, &stats)); err != nil {
		return err
	}
	var p integrationsPage
	for _, in := range d.Integrations {
		if in.ArchivedAt != nil {
			p.Archived++
			continue
		}
		row := integrationRow{integration: in}
		for _, s := range stats.Sources {
			if s.Source == in.Source {
				row.Stats = s
			}
		}
		p.Rows = append(p.Rows, row)
	}
	slices.SortFunc(p.Rows, func(a, b integrationRow) int { return strings.Compare(a.Source, b.Source) })
	return v.show("integrations", "Integrations", p)
}

// integrationPage is one source with its secrets and destinations.
type integrationPage struct {
	integrationRow
	Provider  provider
	Secrets   []secretRow
	Rotation  rotation
	Pending   int64 // secrets that wait to be confirmed
	Directory directory
	Address   string // that the provider sends to
	Lengths   []string
}

// secretRow is a secret with what it may still be needed for.
type secretRow struct {
	secretInfo
	State string // active, inactive, pending or expired
	Alone bool   // the last that verifies
}

// rotation is how far the change of a secret has come.
type rotation struct {
	Step  int    // 1: nothing under way; 2: several verify; 3: the old one is quiet
	Old   string // the one that may go
	Quiet string // for how long it has matched nothing
}

// quietFor is how long an old secret matches nothing before it may go without a doubt.
const quietFor = time.Hour

func (m *Module) integration(v *visit) error { return v.showIntegration(nil) }

func (v *visit) showIntegration(wrong error) error {
	var p integrationPage
	path := "/integrations/" + url.PathEscape(v.c.Param("id"))
	if _, err := v.get(path, nil, &p.integration); err != nil {
		return err
	}
	var secrets []secretInfo
	var stats figures
	var last []event
	if err := v.together(v.into(path+"/secrets", nil, &secrets), v.providerInto(&p.Provider, p.integration.Provider), v.directoryInto(&p.Directory),
		v.into("/stats", nil, &stats), v.into("/events", url.Values{"source": {p.Source}, "pageSize": {"1"}}, &last)); err != nil {
		return err
	}
	for _, s := range stats.Sources {
		if s.Source == p.Source {
			p.Stats = s
		}
	}
	if len(last) > 0 {
		p.LastSeen = &last[0]
	}
	p.Address, p.Lengths = v.m.publicURL(v)+"/api/v1/webhooks/"+p.Source, []string{"1h", "24h", "7d", "30d"}
	p.Secrets, p.Rotation = rotationOf(secrets, v.m.d.Now())
	for _, s := range p.Secrets {
		if s.State == "pending" {
			p.Pending++
		}
	}
	return v.showWith(http.StatusOK, "integration", p.Name, p, wrong)
}

// rotationOf says which secrets verify, and which of several may go.
func rotationOf(secrets []secretInfo, now time.Time) ([]secretRow, rotation) {
	var rows []secretRow
	verifying := 0
	for _, s := range secrets {
		row := secretRow{secretInfo: s, State: "active"}
		switch {
		case s.Pending != nil:
			row.State = "pending"
		case !s.Active:
			row.State = "inactive"
		case s.ExpiresAt != nil && !s.ExpiresAt.After(now):
			row.State = "expired"
		default:
			verifying++
		}
		rows = append(rows, row)
	}
	r := rotation{Step: 1}
	for i := range rows {
		rows[i].Alone = verifying == 1 && rows[i].State == "active"
	}
	if verifying < 2 {
		return rows, r
	}
	r.Step = 2
	slices.SortStableFunc(rows, func(a, b secretRow) int { return b.CreatedAt.Compare(a.CreatedAt.Time) })
	for _, row := range rows[1:] {
		if row.State != "active" {
			continue
		}
		since := row.CreatedAt.Time
		if row.LastMatch != nil {
			since = row.LastMatch.Time
		}
		if rows[0].Matches > 0 && now.Sub(since) >= quietFor {
			r.Step, r.Old, r.Quiet = 3, row.ID, duration(now.Sub(since))
		}
	}
	return rows, r
}

// actOnIntegration switches a source off or on, removes it, or adds a secret.
func (m *Module) actOnIntegration(v *visit) error {
	inID := url.PathEscape(v.c.Param("id"))
	path, back := "/integrations/"+inID, Root+"/integrations/"+inID
	var err error
	var notice string
	switch action := v.c.Param("action"); action {
	case "pause", "resume":
		err = v.api.Patch(v.ctx, path, map[string]any{"isActive": action == "resume"}, nil)
		notice = map[string]string{"pause": "It is off: its webhooks are answered 404 and kept in quarantine if they verify, and its events wait.", "resume": "It is on again; what waited is delivered."}[action]
	case "secrets":
		body := map[string]any{"value": v.form.Get("value"), "note": strings.TrimSpace(v.form.Get("note"))}
		err, notice = v.api.Post(v.ctx, path+"/secrets", body, nil), "The secret is added. Both verify now: set the new one at the provider."
	case "remove":
		var in integration
		if _, err := v.get(path, nil, &in); err != nil {
			return err
		}
		if v.form.Get("name") != in.Source {
			return v.showIntegration(fault.Invalid.New("not_confirmed", "Type the source's name, %s, to remove it.", in.Source))
		}
		err, notice, back = v.api.Delete(v.ctx, path, nil, nil), in.Source+" is removed: nothing new is accepted, its history stays.", Root+"/integrations"
	default:
		return fault.NotFound.New("no_action", "There is no such action.")
	}
	if err != nil {
		return v.showIntegration(err)
	}
	return v.done(back, notice)
}

// actOnSecret lets a secret expire, switches it off or on, or removes it.
func (m *Module) actOnSecret(v *visit) error {
	inID := url.PathEscape(v.c.Param("id"))
	path := "/integrations/" + inID + "/secrets/" + url.PathEscape(v.c.Param("secret"))
	var err error
	var notice string
	switch v.c.Param("action") {
	case "retire":
		err, notice = v.api.Patch(v.ctx, path, map[string]any{"isActive": false}, nil), "The secret verifies no more. It can be switched on again."
	case "restore":
		err, notice = v.api.Patch(v.ctx, path, map[string]any{"isActive": true}, nil), "The secret verifies again."
	case "confirm":
		err, notice = v.api.Patch(v.ctx, path, map[string]any{"isActive": true}, nil), "The secret is confirmed and verifies. What came before it waits in quarantine: release it there."
	case "remove":
		err, notice = v.api.Delete(v.ctx, path, nil, nil), "The secret is removed for good."
	default:
		return fault.NotFound.New("no_action", "There is no such action.")
	}
	if err != nil {
		return v.showIntegration(err)
	}
	return v.done(Root+"/integrations/"+inID, notice)
}
