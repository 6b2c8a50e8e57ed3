package main

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// Two destinations with limits, each with more events than its limit allows.
const (
	limitedRate        = 5 // attempts a second
	limitedConcurrency = 3
	limitedShare       = 10 // every tenth webhook goes to each of them
	limitsMeasured     = 20 * time.Second
)

func limitScenarios() []scenario {
	return []scenario{{name: "destination-limits", serves: 3, works: 3,
		about: "three workers deliver to a destination with rate_per_second 5 and to one with concurrency 3, both with a backlog",
		setUp: setUpLimits, source: limited, inject: measureLimits,
		processingTime: func(path string) time.Duration {
			if path == "/acme/concurrency" {
				return 500 * time.Millisecond
			}
			return processingTime
		},
		target: ofDestination, maxWait: 45 * time.Second, reason: "a backlog is delivered at the configured rate"}}
}

func setUpLimits(ctx context.Context, r *run) error {
	if err := createIntegrations(ctx, r, "rate", "concurrency"); err != nil {
		return err
	}
	const limitSQL = `
UPDATE destinations
SET    rate_per_second = CASE WHEN url LIKE '%/rate' THEN 5 END,
       concurrency     = CASE WHEN url LIKE '%/concurrency' THEN 3 END
WHERE  url LIKE '%/rate' OR url LIKE '%/concurrency'`
	_, err := r.sql(ctx, limitSQL)
	return err
}

// limited returns the source for the webhook of this number.
func limited(n int64) string {
	switch n % limitedShare {
	case 0:
		return "acme-rate"
	case 1:
		return "acme-concurrency"
	}
	return "acme"
}

func measureLimits(ctx context.Context, r *run) error {
	r.faultBegan()
	defer r.faultEnded()
	from := clock.System()
	if err := sustain(ctx, limitsMeasured+time.Second); err != nil {
		return err
	}
	to := from.Add(limitsMeasured) // what had begun by then has ended
	perSecond, busiest := pace(r.ledger.to("acme-rate"), from, to)
	mean, most := load(r.ledger.to("acme-concurrency"), from, to)
	r.say("    rate_per_second %d: %.2f on average, %d in the busiest second; concurrency %d: %.2f on average, %d at most",
		limitedRate, perSecond, busiest, limitedConcurrency, mean, most)
	if perSecond < 0.9*limitedRate || perSecond > 1.1*limitedRate {
		r.fault("the destination with rate_per_second %d got %.2f attempts a second", limitedRate, perSecond)
	}
	if busiest > 2*limitedRate {
		r.fault("the destination with rate_per_second %d got %d attempts within a second", limitedRate, busiest)
	}
	if mean < 0.9*limitedConcurrency || most > limitedConcurrency {
		r.fault("the destination with concurrency %d had %.2f attempts at once on average, and up to %d", limitedConcurrency, mean, most)
	}
	return nil
}

// to returns the deliveries to a source.
func (l *ledger) to(source string) (list []delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for external, e := range l.events {
		n, _ := strconv.ParseInt(external[strings.LastIndexByte(external, '-')+1:], 10, 64)
		if limited(n) == source {
			list = append(list, e.delivered...)
		}
	}
	return list
}

// pace returns how many deliveries begin per second between two moments, on average and in
// the busiest second.
func pace(list []delivery, from, to time.Time) (perSecond float64, busiest int) {
	var begun []time.Time
	for _, d := range list {
		if !d.began.Before(from) && d.began.Before(to) {
			begun = append(begun, d.began)
		}
	}
	slices.SortFunc(begun, time.Time.Compare)
	first := 0
	for i, at := range begun {
		for at.Sub(begun[first]) >= time.Second {
			first++
		}
		busiest = max(busiest, i-first+1)
	}
	return float64(len(begun)) / to.Sub(from).Seconds(), busiest
}

// load returns how many deliveries are in progress between two moments, on average and at
// most.
func load(list []delivery, from, to time.Time) (mean float64, most int) {
	type change struct {
		at time.Time
		by int
	}
	var changes []change
	var busy time.Duration
	for _, d := range list {
		began, ended := d.began, d.ended
		if began.Before(from) {
			began = from
		}
		if ended.After(to) {
			ended = to
		}
		if ended.After(began) {
			busy += ended.Sub(began)
			changes = append(changes, change{began, 1}, change{ended, -1})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), a.by-b.by) })
	under := 0
	for _, c := range changes {
		under += c.by
		most = max(most, under)
	}
	return busy.Seconds() / to.Sub(from).Seconds(), most
}
