package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/clock"
)

// Fifty destinations, of which the first, with a fifth of the webhooks, stops answering.
const (
	neighbours   = 50
	deadShare    = 5
	measured     = 15 * time.Second // each of the two windows
	timesSlower  = 2                // what the others' deliveries may take of what they took before
	deadEndpoint = "/acme"          // the other destinations are /acme/1 to /acme/49
)

func isolationScenarios() []scenario {
	build := func(name, about string, env ...string) scenario {
		return scenario{name: name, about: about, furnish: neighbourhood, source: spread, inject: oneHangs, env: env,
			silence: longestWait} // the dead destination's own probes; the others are held by the comparison
	}
	return []scenario{
		build("one-of-fifty-hangs", "one of fifty destinations never answers, with a fifth of the webhooks"),
		build("one-of-fifty-hangs-no-breaker", "the same, with breakers that never open", "BREAKER_MIN_ATTEMPTS=1000000"),
	}
}

// neighbourhood makes an integration of its own for each of the other destinations.
func neighbourhood(ctx context.Context, r *run) error {
	const furnishSQL = `
WITH made AS (
    INSERT INTO integrations (id, source, provider, name, is_active, created_at, updated_at)
    SELECT gen_random_uuid(), 'acme-' || n, provider, name, true, created_at, updated_at
    FROM   integrations, generate_series(1, %d) n
    WHERE  source = 'acme'
    RETURNING id, source
), secrets AS (
    INSERT INTO integration_secrets (id, integration_id, secret, is_active, created_at)
    SELECT gen_random_uuid(), made.id, s.secret, true, s.created_at
    FROM   made, integration_secrets s JOIN integrations i ON i.id = s.integration_id AND i.source = 'acme'
)
INSERT INTO destinations (id, integration_id, url, is_active, signing_secret, created_at, updated_at)
SELECT gen_random_uuid(), made.id, d.url || '/' || substr(made.source, 6), true, d.signing_secret, d.created_at, d.updated_at
FROM   made, destinations d JOIN integrations i ON i.id = d.integration_id AND i.source = 'acme'`
	_, err := r.servers.sql(ctx, r.database, fmt.Sprintf(furnishSQL, neighbours-1))
	return err
}

// spread gives the source that the webhook of this number is sent to.
func spread(n int64) string {
	if n%deadShare == 0 {
		return "acme"
	}
	return fmt.Sprintf("acme-%d", 1+n%(neighbours-1))
}

func oneHangs(ctx context.Context, r *run) error {
	began := clock.System()
	if err := lasting(ctx, measured); err != nil {
		return err
	}
	r.away()
	r.receiver.setDeaf(deadEndpoint)
	defer r.back()
	defer r.receiver.setDeaf("")
	hangs := clock.System()
	if err := lasting(ctx, measured); err != nil {
		return err
	}
	before, during := r.ledger.latency(began, hangs), r.ledger.latency(hangs, clock.System())
	r.say("    the other destinations' deliveries, 95th percentile: %v before, %v while one hangs", before, during)
	switch {
	case before == 0 || during == 0:
		r.fault("nothing was delivered to compare")
	case during > timesSlower*before:
		r.fault("the other destinations' deliveries took %v (95th percentile) while one hung, and %v before", during, before)
	}
	return nil
}

// latency is the 95th percentile of the time from acceptance to delivery of what was
// accepted between two moments, the dead destination's webhooks aside.
func (l *ledger) latency(from, to time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for external, e := range l.events {
		n, _ := strconv.Atoi(external[strings.LastIndexByte(external, '-')+1:])
		if n%deadShare == 0 || e.accepted.Before(from) || !e.accepted.Before(to) {
			continue
		}
		arrived := clock.System() // what has not come yet has taken so long at least
		if len(e.delivered) > 0 {
			arrived = e.delivered[0]
		}
		took = append(took, max(arrived.Sub(e.accepted), time.Microsecond))
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)*95/100].Round(100 * time.Microsecond)
}
