package alerts

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
	"integration-gateway/platform/id"
)

// view is an alert as the API and the notices show it.
type view struct {
	ID             string      `json:"id"`
	Condition      string      `json:"condition"`
	Subject        string      `json:"subject"`
	Severity       string      `json:"severity" api:"enum=page|ticket"`
	Summary        string      `json:"summary"`
	Value          float64     `json:"value"`
	State          string      `json:"state" api:"enum=open|resolved"`
	StartedAt      clock.Time  `json:"startedAt"` // when the condition began to hold
	OpenedAt       *clock.Time `json:"openedAt"`
	ResolvedAt     *clock.Time `json:"resolvedAt"`
	NotifiedAt     *clock.Time `json:"notifiedAt"`
	AcknowledgedAt *clock.Time `json:"acknowledgedAt"`
	AcknowledgedBy *string     `json:"acknowledgedBy"`
	Note           *string     `json:"note"`
}

func (a alert) view() view {
	v := view{ID: a.ID, Condition: a.Condition, Subject: a.Subject, Severity: a.Severity, Summary: a.Summary, Value: a.Value, State: "open", StartedAt: a.Since,
		OpenedAt: a.OpenedAt, ResolvedAt: a.ResolvedAt, NotifiedAt: a.NotifiedAt, AcknowledgedAt: a.AcknowledgedAt, AcknowledgedBy: a.AcknowledgedBy, Note: a.Note}
	if a.ResolvedAt != nil {
		v.State = "resolved"
	}
	return v
}

type acknowledgement struct {
	Note string `json:"note" api:"required,chars=2-500"`
}

type muteBody struct {
	Condition string    `json:"condition" api:"required"`
	Subject   *string   `json:"subject"`
	Until     time.Time `json:"until" api:"required"`
	Reason    string    `json:"reason" api:"required,chars=2-500"`
}

type tested struct {
	Targets []string `json:"targets"`
}

var (
	listSpec = httpapi.Spec{
		Summary: "Alerts that opened, newest first.",
		Query: httpapi.PagedQuery(append([]httpapi.Param{
			httpapi.EnumParam("state", "those in this state", "open", "resolved"),
			httpapi.EnumParam("condition", "those of this condition", conditionNames()...),
		}, httpapi.Between("started")...)...),
		Answers: []httpapi.Answer{httpapi.ReturnsPage("Alert", view{})},
	}
	acknowledgeSpec = httpapi.Spec{
		Summary: "Says that somebody knows of an alert.",
		Body:    acknowledgement{}, BodyName: "Acknowledgement", Example: `{"note":"the receiver's team is on it"}`,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "Alert", view{})},
	}
	mutesSpec = httpapi.Spec{
		Summary: "Mutes that are in force.",
		Query:   httpapi.Between("created"),
		Answers: []httpapi.Answer{httpapi.ReturnsAll("AlertMute", mute{})},
	}
	muteSpec = httpapi.Spec{
		Summary: "Lets alerts of a condition open without a notice for a time.",
		Body:    muteBody{}, BodyName: "NewAlertMute", Example: `{"condition":"destination_down","subject":"acme/1","until":"2026-12-01T06:00:00Z","reason":"the receiver moves"}`,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusCreated, "AlertMute", mute{})},
		Errors:  []fault.Kind{fault.Conflict},
	}
	unmuteSpec = httpapi.Spec{
		Summary: "Ends a mute.",
		Answers: []httpapi.Answer{{Status: http.StatusNoContent, Shape: httpapi.Empty}},
	}
	testSpec = httpapi.Spec{
		Summary: "Sends a test notice to every target.",
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusAccepted, "AlertTest", tested{})},
		Errors:  []fault.Kind{fault.Conflict},
	}
)

// newestFirst lists alerts by id, which sorts by the time when the condition began to hold.
var newestFirst = database.Listing[alert]{Columns: alertColumns, From: "alerts", ID: "id", Desc: true,
	Key: func(a alert) database.Position { return database.Position{ID: a.ID} }}

func (m *Module) list(c echo.Context) error {
	q := httpapi.QueryOf(c)
	var f database.Filter
	f.Add("opened_at IS NOT NULL")
	switch q.Enum("state") {
	case "open":
		f.Add("resolved_at IS NULL")
	case "resolved":
		f.Add("resolved_at IS NOT NULL")
	}
	if condition := q.Enum("condition"); condition != "" {
		f.Add("condition = ?", condition)
	}
	f.CreatedBetween("id", "since", q.Time("startedFrom"), q.Time("startedTo"))
	paging := q.Paging()
	found, err := database.ReadList(c.Request().Context(), m.d.DB, newestFirst, &f, paging.Page)
	if err != nil {
		return fmt.Errorf("read the alerts: %w", err)
	}
	return httpapi.Paged(c, paging, found, alert.view)
}

const acknowledgeSQL = `
UPDATE alerts SET acknowledged_at = $2, acknowledged_by = $3, note = $4 WHERE id = $1`

func (m *Module) acknowledge(c echo.Context) error {
	ctx, alertID := c.Request().Context(), httpapi.ID(c)
	note := strings.TrimSpace(httpapi.BodyOf[acknowledgement](c).Note)
	var known alert
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) (err error) {
		if _, err = readAlert(ctx, tx, alertID); err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, acknowledgeSQL, alertID, tx.Now, httpapi.Actor(ctx), note); err != nil {
			return fmt.Errorf("acknowledge the alert: %w", err)
		}
		if known, err = readAlert(ctx, tx, alertID); err != nil {
			return err
		}
		return m.audit(c, tx, "alert.acknowledged", &alertID, map[string]any{"condition": known.Condition, "subject": known.Subject, "note": note})
	})
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, known.view())
}

// Mistakes returns every invalid field.
func (a acknowledgement) Mistakes() []fault.Field { return checkText("note", a.Note) }

// Mistakes returns every invalid field.
func (b muteBody) Mistakes() (wrong []fault.Field) {
	if names := conditionNames(); !slices.Contains(names, b.Condition) {
		wrong = append(wrong, fault.Field{Field: "condition", Message: "must be one of " + strings.Join(names, ", ")})
	}
	if b.Subject != nil && utf8.RuneCountInString(*b.Subject) > 300 {
		wrong = append(wrong, fault.Field{Field: "subject", Message: "must have at most 300 characters"})
	}
	return append(wrong, checkText("reason", b.Reason)...)
}

func checkText(field, text string) []fault.Field {
	return httpapi.CheckText(field, strings.TrimSpace(text), 2, 500)
}

// longestMute bounds a mute: a forgotten one must not hide a fault for ever.
const longestMute = 30 * 24 * time.Hour

func (m *Module) mute(c echo.Context) error {
	ctx, body := c.Request().Context(), httpapi.BodyOf[muteBody](c)
	made := mute{ID: id.New(), Condition: body.Condition, Subject: body.Subject, Until: clock.At(body.Until), Reason: strings.TrimSpace(body.Reason), Actor: httpapi.Actor(ctx)}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if !body.Until.After(tx.Now) || body.Until.After(tx.Now.Add(longestMute)) {
			return fault.Invalid.New("wrong_until", "It must be in the future, and within 30 days.").At("until")
		}
		made.CreatedAt = clock.At(tx.Now)
		if err := insertMute(ctx, tx, made); err != nil {
			return err
		}
		return m.audit(c, tx, "alert.muted", &made.ID, made)
	})
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusCreated, made)
}

func (m *Module) listMutes(c echo.Context) error {
	ctx := c.Request().Context()
	var list mutes
	if err := m.d.DB.Select(ctx, &list, selectMutesSQL, m.d.Now()); err != nil {
		return fmt.Errorf("read the mutes: %w", err)
	}
	q := httpapi.QueryOf(c)
	return httpapi.All(c, slices.DeleteFunc(list, func(m mute) bool { return !q.Within("created", m.CreatedAt.Time) }))
}

func (m *Module) unmute(c echo.Context) error {
	ctx, muteID := c.Request().Context(), httpapi.ID(c)
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		if err := deleteMute(ctx, tx, muteID); err != nil {
			return err
		}
		return m.audit(c, tx, "alert.unmuted", &muteID, map[string]any{})
	})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (m *Module) test(c echo.Context) error {
	ctx := c.Request().Context()
	if len(m.cfg.Targets) == 0 {
		return fault.Conflict.New("no_targets", "No target is configured: set ALERT_WEBHOOK_URL, ALERT_SLACK_URL or ALERT_EMAIL_URL.")
	}
	sent := tested{}
	for _, t := range m.cfg.Targets {
		sent.Targets = append(sent.Targets, t.Name)
	}
	err := m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		at := clock.At(tx.Now)
		a := alert{ID: id.New(), Condition: test, Severity: ticket, Summary: "Somebody asked for a test of the alerts.", Since: at}
		if err := m.notify(ctx, tx, a, "alert.test"); err != nil {
			return err
		}
		return m.audit(c, tx, "alert.tested", &a.ID, sent)
	})
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusAccepted, sent)
}

// audit records what an operator did with the alerts.
func (m *Module) audit(c echo.Context, tx *database.Tx, action string, entityID *string, details any) error {
	text, err := json.Marshal(details)
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	ctx := c.Request().Context()
	err = m.d.Audit.Record(ctx, tx, []contract.AuditEntry{{EntityType: contract.EntityAlert, EntityID: entityID, Action: action, Actor: httpapi.Actor(ctx), Details: text}})
	if err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}
