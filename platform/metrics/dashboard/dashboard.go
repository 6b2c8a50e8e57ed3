// Package dashboard makes the Grafana dashboard in deploy/grafana from the metrics of
// package metrics, so that it shows no metric that does not exist and leaves out none.
package dashboard

import (
	"encoding/json"
	"fmt"
)

// Target is a query of Prometheus and the legend of its lines.
type Target struct{ Expr, Legend string }

// Panel is a chart, or a single figure.
type Panel struct {
	Title   string
	Help    string // what to look for
	Unit    string // of Grafana: s, ops, percentunit, bytes, short, dateTimeAsSystem …
	Single  bool   // a figure instead of a chart
	Targets []Target
}

// Row is a heading with its panels.
type Row struct {
	Title  string
	Panels []Panel
}

// Grafana's grid has 24 columns.
const (
	gridColumns  = 24
	chartWidth   = 8
	chartHeight  = 8
	figureWidth  = 4
	figureHeight = 4
)

// JSON returns the dashboard in the form that Grafana imports.
// https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
func JSON() ([]byte, error) {
	text, err := json.MarshalIndent(map[string]any{
		"uid": "gateway", "title": "Webhook gateway", "tags": []string{"gateway"}, "editable": true, "schemaVersion": 39,
		"refresh": "30s", "time": map[string]any{"from": "now-3h", "to": "now"}, "timezone": "browser",
		"templating": map[string]any{"list": variables()}, "panels": panels(Rows()),
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the dashboard: %w", err)
	}
	return append(text, '\n'), nil
}

// variables are what can be chosen at the top of the dashboard.
func variables() []map[string]any {
	made := []map[string]any{{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}}
	for _, v := range []struct{ name, label, query string }{
		{"instance", "Process", "label_values(gateway_build_info, instance)"},
		{"source", "Source", "label_values(gateway_webhooks_received_total, source)"},
		{"destination", "Destination", "label_values(gateway_breaker_state, destination)"},
	} {
		made = append(made, map[string]any{"name": v.name, "label": v.label, "type": "query", "query": v.query, "datasource": datasource(),
			"refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*", "current": map[string]any{"text": "All", "value": "$__all"}})
	}
	return made
}

func datasource() map[string]any { return map[string]any{"type": "prometheus", "uid": "${datasource}"} }

// panels places the rows one below another, and the panels of each from left to right.
func panels(rows []Row) []map[string]any {
	var made []map[string]any
	y := 0
	for _, row := range rows {
		made = append(made, map[string]any{"id": len(made) + 1, "type": "row", "title": row.Title, "collapsed": false, "panels": []any{},
			"gridPos": grid(0, y, gridColumns, 1)})
		y++
		x, height := 0, 0
		for _, p := range row.Panels {
			w, h := p.size()
			if x+w > gridColumns {
				x, y, height = 0, y+height, 0
			}
			made = append(made, p.model(len(made)+1, grid(x, y, w, h)))
			x, height = x+w, max(height, h)
		}
		y += height
	}
	return made
}

func grid(x, y, w, h int) map[string]int { return map[string]int{"x": x, "y": y, "w": w, "h": h} }

func (p Panel) size() (w, h int) {
	if p.Single {
		return figureWidth, figureHeight
	}
	return chartWidth, chartHeight
}

func (p Panel) model(number int, at map[string]int) map[string]any {
	targets := make([]map[string]any, len(p.Targets))
	for i, t := range p.Targets {
		targets[i] = map[string]any{"refId": string(rune('A' + i)), "datasource": datasource(), "expr": t.Expr, "legendFormat": t.Legend}
		if p.Single {
			targets[i]["instant"] = true
		}
	}
	model := map[string]any{
		"id": number, "type": "timeseries", "title": p.Title, "description": p.Help, "datasource": datasource(), "gridPos": at, "targets": targets,
		"fieldConfig": map[string]any{"defaults": map[string]any{"unit": p.Unit, "min": 0}, "overrides": []any{}},
		"options":     map[string]any{"legend": map[string]any{"displayMode": "list", "placement": "bottom"}, "tooltip": map[string]any{"mode": "multi", "sort": "desc"}},
	}
	if p.Single {
		model["type"] = "stat"
		model["options"] = map[string]any{"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}}, "colorMode": "none", "graphMode": "area"}
	}
	return model
}
