package alerts

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/database"
	"integration-gateway/platform/fault"
	"integration-gateway/platform/httpapi"
)

// override is a row of alert_conditions: what somebody changed of a condition by the API.
type override struct {
	Condition string     `db:"condition"`
	Threshold *float64   `db:"threshold"` // nil: the configured one
	Enabled   bool       `db:"enabled"`
	Reason    string     `db:"reason"`
	Actor     string     `db:"actor"`
	ChangedAt clock.Time `db:"changed_at"`
}

// conditionView is a condition as the API shows it.
type conditionView struct {
	Condition   string      `json:"condition" api:"plain"`
	Severity    string      `json:"severity" api:"enum=page|ticket"`
	Meaning     string      `json:"meaning"`
	HoldSeconds float64     `json:"holdSeconds"`                                  // how long it must hold before the alert opens
	Unit        *string     `json:"unit" api:"enum=seconds|count|percent|factor"` // null: it has no threshold
	Threshold   *float64    `json:"threshold"`                                    // in force
	Configured  *float64    `json:"configuredThreshold"`                          // without an override
	Enabled     bool        `json:"enabled"`                                      // false: no alert opens
	Reason      *string     `json:"reason"`                                       // why it was changed; null if it was not
	ChangedBy   *string     `json:"changedBy"`
	ChangedAt   *clock.Time `json:"changedAt"`
}

// conditionBody replaces what is changed of a condition.
type conditionBody struct {
	Threshold *float64 `json:"threshold"` // null: the configured one
	Enabled   *bool    `json:"enabled"`   // true by default
	Reason    string   `json:"reason" api:"required,chars=2-500"`
}

var (
	conditionsSpec = httpapi.Spec{
		Summary: "The conditions of alerts, with their thresholds.",
		Query:   httpapi.Between("changed"),
		Answers: []httpapi.Answer{httpapi.ReturnsAll("AlertCondition", conditionView{})},
	}
	changeSpec = httpapi.Spec{
		Summary: "Changes the threshold of a condition, or turns it off.",
		Body:    conditionBody{}, BodyName: "AlertConditionChange", Example: `{"threshold":600,"reason":"the nightly import is slow"}`,
		Answers: []httpapi.Answer{httpapi.Returns(http.StatusOK, "AlertCondition", conditionView{})},
		Errors:  []fault.Kind{fault.NotFound},
	}
	resetSpec = httpapi.Spec{
		Summary: "Returns a condition to its configured threshold.",
		Answers: []httpapi.Answer{{Status: http.StatusNoContent, Shape: httpapi.Empty}},
		Errors:  []fault.Kind{fault.NotFound},
	}
)

// Mistakes returns every invalid field.
func (b conditionBody) Mistakes() []fault.Field { return checkText("reason", b.Reason) }

const (
	selectOverridesSQL = `
SELECT condition, threshold, enabled, reason, actor, changed_at FROM alert_conditions`
	saveOverrideSQL = `
INSERT INTO alert_conditions (condition, threshold, enabled, reason, actor, changed_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (condition) DO UPDATE SET threshold = excluded.threshold, enabled = excluded.enabled, reason = excluded.reason,
       actor = excluded.actor, changed_at = excluded.changed_at`
	deleteOverrideSQL = `
DELETE FROM alert_conditions WHERE condition = $1`
)

// overrides returns what was changed, by condition.
func (m *Module) overrides(ctx context.Context) (map[string]override, error) {
	var rows []override
	if err := m.d.DB.Select(ctx, &rows, selectOverridesSQL); err != nil {
		return nil, fmt.Errorf("read the changed conditions: %w", err)
	}
	by := map[string]override{}
	for _, o := range rows {
		by[o.Condition] = o
	}
	return by, nil
}

// with returns the thresholds in force.
func (t Thresholds) with(changed map[string]override) Thresholds {
	inForce := maps.Clone(t)
	for name, o := range changed {
		if o.Threshold != nil {
			inForce[name] = *o.Threshold
		}
	}
	return inForce
}

// enabled drops the findings of conditions that are turned off.
func enabled(found []finding, changed map[string]override) []finding {
	return slices.DeleteFunc(found, func(f finding) bool { o, is := changed[f.condition]; return is && !o.Enabled })
}

func (m *Module) conditionView(c condition, changed map[string]override) conditionView {
	v := conditionView{Condition: c.name, Severity: c.severity, Meaning: c.meaning, HoldSeconds: c.hold.Seconds(), Enabled: true}
	if c.unit != "" {
		configured := m.cfg.Thresholds[c.name]
		inForce := configured
		v.Unit, v.Configured, v.Threshold = &c.unit, &configured, &inForce
	}
	if o, is := changed[c.name]; is {
		v.Enabled, v.Reason, v.ChangedBy, v.ChangedAt = o.Enabled, &o.Reason, &o.Actor, &o.ChangedAt
		if o.Threshold != nil && c.unit != "" {
			v.Threshold = o.Threshold
		}
	}
	return v
}

func (m *Module) listConditions(c echo.Context) error {
	changed, err := m.overrides(c.Request().Context())
	if err != nil {
		return err
	}
	q := httpapi.QueryOf(c)
	bounded := q.Time("changedFrom") != nil || q.Time("changedTo") != nil
	list := []conditionView{}
	for _, one := range conditions {
		v := m.conditionView(one, changed)
		if !bounded || v.ChangedAt != nil && q.Within("changed", v.ChangedAt.Time) {
			list = append(list, v)
		}
	}
	return httpapi.All(c, list)
}

// conditionOf returns the condition that the path names.
func conditionOf(c echo.Context) (condition, error) {
	one, known := conditionNamed(c.Param("condition"))
	if !known {
		return one, fault.NotFound.New("condition_not_found", "There is no such condition; there are %s.", strings.Join(conditionNames()[:len(conditions)], ", "))
	}
	return one, nil
}

// threshold checks a threshold; nil is none.
func (c condition) threshold(t *float64) error {
	switch {
	case t == nil:
		return nil
	case c.unit == "":
		return fault.Invalid.New("wrong_threshold", "This condition holds or does not, without a threshold.").At("threshold")
	case *t < c.low || *t > c.high || c.unit == count && *t != math.Trunc(*t):
		kind := "number"
		if c.unit == count {
			kind = "whole number"
		}
		return fault.Invalid.New("wrong_threshold", "It must be a %s from %v to %v (%s).", kind, c.low, c.high, c.unit).At("threshold")
	}
	return nil
}

func (m *Module) change(c echo.Context) error {
	ctx, body := c.Request().Context(), httpapi.BodyOf[conditionBody](c)
	one, err := conditionOf(c)
	if err != nil {
		return err
	}
	if err := one.threshold(body.Threshold); err != nil {
		return err
	}
	o := override{Condition: one.name, Threshold: body.Threshold, Enabled: body.Enabled == nil || *body.Enabled, Reason: strings.TrimSpace(body.Reason), Actor: httpapi.Actor(ctx)}
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		o.ChangedAt = clock.At(tx.Now)
		if _, err := tx.Exec(ctx, saveOverrideSQL, o.Condition, o.Threshold, o.Enabled, o.Reason, o.Actor, o.ChangedAt); err != nil {
			return fmt.Errorf("store the condition: %w", err)
		}
		return m.audit(c, tx, "alert.condition_changed", nil, map[string]any{"condition": o.Condition, "threshold": o.Threshold, "enabled": o.Enabled, "reason": o.Reason})
	})
	if err != nil {
		return err
	}
	return httpapi.Data(c, http.StatusOK, m.conditionView(one, map[string]override{one.name: o}))
}

func (m *Module) reset(c echo.Context) error {
	ctx := c.Request().Context()
	one, err := conditionOf(c)
	if err != nil {
		return err
	}
	err = m.d.DB.InTx(ctx, func(tx *database.Tx) error {
		n, err := tx.Exec(ctx, deleteOverrideSQL, one.name)
		switch {
		case err != nil:
			return fmt.Errorf("reset the condition: %w", err)
		case n == 0:
			return fault.NotFound.New("condition_not_changed", "The condition %s is as it is configured.", one.name)
		}
		return m.audit(c, tx, "alert.condition_reset", nil, map[string]any{"condition": one.name})
	})
	if err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
