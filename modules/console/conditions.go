package console

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/fault"
)

// conditionRow is a condition of alerts, with its threshold.
type conditionRow struct {
	Condition  string      `json:"condition"`
	Severity   string      `json:"severity"`
	Meaning    string      `json:"meaning"`
	Hold       float64     `json:"holdSeconds"`
	Unit       *string     `json:"unit"`
	Threshold  *float64    `json:"threshold"`
	Configured *float64    `json:"configuredThreshold"`
	Enabled    bool        `json:"enabled"`
	Reason     *string     `json:"reason"`
	ChangedBy  *string     `json:"changedBy"`
	ChangedAt  *clock.Time `json:"changedAt"`
}

// Limit is the threshold in its unit.
func (c conditionRow) Limit() string { return inUnit(c.Threshold, c.Unit) }

// Default is the threshold without the change.
func (c conditionRow) Default() string { return inUnit(c.Configured, c.Unit) }

// Changer is who changed it, without the kind of the credential.
func (c conditionRow) Changer() string {
	if c.ChangedBy == nil {
		return ""
	}
	return strings.TrimPrefix(*c.ChangedBy, "api-key:")
}

// UnitName is how the form names the unit.
func (c conditionRow) UnitName() string {
	if c.Unit == nil {
		return ""
	}
	return map[string]string{"seconds": "in seconds", "count": "as a number", "percent": "in percent", "factor": "times the usual gap"}[*c.Unit]
}

func inUnit(value *float64, unit *string) string {
	if value == nil || unit == nil {
		return "–"
	}
	text := strconv.FormatFloat(*value, 'f', -1, 64)
	switch *unit {
	case "seconds":
		return seconds(*value)
	case "percent":
		return text + " %"
	case "factor":
		return text + " ×"
	}
	return text
}

// actOnCondition changes a condition's threshold, turns it off, or returns it to the configuration.
func (m *Module) actOnCondition(v *visit) error {
	name := v.c.Param("condition")
	path, back := "/alerts/conditions/"+url.PathEscape(name), Root+"/alerts?state=conditions"
	switch v.c.Param("action") {
	case "reset":
		if err := v.api.Delete(v.ctx, path, nil, nil); err != nil {
			return v.listAlerts(err)
		}
		return v.done(back, label(name)+" is as it is configured again.")
	case "change":
	default:
		return fault.NotFound.New("no_action", "There is no such action.")
	}
	body := map[string]any{"enabled": v.form.Get("enabled") == "true", "reason": strings.TrimSpace(v.form.Get("reason"))}
	if text := strings.TrimSpace(v.form.Get("threshold")); text != "" {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return v.listAlerts(fault.Invalid.New("bad_threshold", "The threshold %s is no number; write one such as 60 or 2.5.", fmt.Sprintf("%q", text)))
		}
		body["threshold"] = n
	}
	if err := v.api.Put(v.ctx, path, body, nil); err != nil {
		return v.listAlerts(err)
	}
	return v.done(back, label(name)+" is changed; alerts follow it within ten seconds.")
}
