package console

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// figures are the parts of GET /stats that the console shows.
type figures struct {
	At           clock.Time         `json:"at"`
	Sources      []sourceFigures    `json:"sources"`
	Destinations []destinationStats `json:"destinations"`
	Gateway      *struct {
		Over      windows[counted] `json:"over"`
		Now       waiting          `json:"now"`
		OutboxLag float64          `json:"outboxLagSeconds"`
	} `json:"gateway"`
}

// windows are figures of the last hour and day.
type windows[T any] struct {
	FiveMinutes T `json:"5m"`
	Hour        T `json:"1h"`
	Day         T `json:"24h"`
	Week        T `json:"7d"`
}

type counted struct {
	Accepted  int64            `json:"accepted"`
	Duplicate int64            `json:"duplicate"`
	Refused   int64            `json:"refused"`
	RefusedBy map[string]int64 `json:"refusedBy"`
	Failed    int64            `json:"failed"`
	delivered
}

type delivered struct {
	Delivered int64            `json:"delivered"`
	Failures  int64            `json:"failedAttempts"`
	FailedBy  map[string]int64 `json:"failedBy"`
	Attempts  quantiles        `json:"attempts"`
	EndToEnd  quantiles        `json:"endToEnd"`
}

type quantiles struct {
	Count int64    `json:"count"`
	P50   *float64 `json:"p50Ms"`
	P95   *float64 `json:"p95Ms"`
}

type waiting struct {
	Waiting     int64   `json:"waiting"`
	Due         int64   `json:"due"`
	OldestDue   float64 `json:"oldestDueSeconds"`
	Running     int64   `json:"running"`
	Parked      int64   `json:"parked"`
	DeadLetters int64   `json:"deadLetters"`
	Quarantine  int64   `json:"quarantine"`
}

type sourceFigures struct {
	Source string           `json:"source"`
	Over   windows[counted] `json:"over"`
	Now    waiting          `json:"now"`
}

type destinationStats struct {
	ID     string             `json:"destinationId"`
	Name   string             `json:"name"`
	Source string             `json:"source"`
	Over   windows[delivered] `json:"over"`
	Now    destinationNow     `json:"now"`
}

type destinationNow struct {
	waiting
	ParkedReason *string     `json:"parkedReason"`
	Breaker      string      `json:"breaker"`
	BreakerUntil *clock.Time `json:"breakerUntil"`
}

type series struct {
	Step   string  `json:"step"`
	Points []point `json:"points"`
}

type point struct {
	At        clock.Time `json:"at"`
	Accepted  int64      `json:"accepted"`
	Refused   int64      `json:"refused"`
	Delivered int64      `json:"delivered"`
	Failures  int64      `json:"failedAttempts"`
	EndToEnd  quantiles  `json:"endToEnd"`
}

// span is a period that figures are shown of.
type span struct {
	Name, Label, Step, Per string
	Length, Unit           time.Duration
}

var spans = []span{
	{"1h", "60 minutes", "1m", "a minute", time.Hour, time.Minute},
	{"24h", "24 hours", "1h", "an hour", 24 * time.Hour, time.Hour}, // shorter steps are read minute by minute, many times as much
	{"7d", "7 days", "6h", "6 hours", 7 * 24 * time.Hour, 6 * time.Hour},
}

// spanOf returns the span that a page's address names; the first by default.
func spanOf(name string) span {
	for _, s := range spans {
		if s.Name == name {
			return s
		}
	}
	return spans[0]
}

// seriesInto reads the points of a span up to now.
func (v *visit) seriesInto(out *series, s span, filter url.Values) reading {
	now := v.m.d.Now().UTC()
	query := url.Values{"from": {now.Add(-s.Length).Format(time.RFC3339)}, "to": {now.Format(time.RFC3339)}, "step": {s.Step}}
	for name, values := range filter {
		query[name] = values
	}
	return v.into("/stats/series", query, out)
}

// spark is a line of values, drawn by the server, with the table that readers get instead.
type spark struct {
	Kind, Line, Area string
	Width            int
	Total, Most      int64
}

const sparkHeight = 30

func sparkOf(kind string, points []point, of func(point) int64) spark {
	s := spark{Kind: kind, Width: max(len(points)-1, 1) * 2}
	for _, p := range points {
		s.Total += of(p)
		s.Most = max(s.Most, of(p))
	}
	var line strings.Builder
	for i, p := range points {
		y := float64(sparkHeight)
		if s.Most > 0 {
			y -= float64(of(p)) / float64(s.Most) * (sparkHeight - 2)
		}
		fmt.Fprintf(&line, "%s%d %.1f", map[bool]string{true: "M", false: "L"}[i == 0], i*2, y)
	}
	s.Line = line.String()
	if len(points) > 0 {
		s.Area = fmt.Sprintf("%sL%d 32L0 32Z", s.Line, (len(points)-1)*2)
	}
	return s
}
