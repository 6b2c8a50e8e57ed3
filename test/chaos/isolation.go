package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"integration-gateway/platform/clock"
	"integration-gateway/platform/id"
	"integration-gateway/platform/keyring"
	"integration-gateway/platform/secret"
)

// Fifty destinations, of which the first, with a fifth of the webhooks, stops responding.
const (
	destinations  = 50
	deadShare     = 5
	measured      = 15 * time.Second                         // each of the two windows
	maxSlowdown   = 2                                        // how much slower the others' deliveries may get
	signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" //nolint:gosec // of the other destinations
	deadEndpoint  = "/acme"                                  // the other destinations are /acme/1 to /acme/49
)

func isolationScenarios() []scenario {
	build := func(name, about string, env ...string) scenario {
		return scenario{name: name, about: about, setUp: createDestinations, source: sourceOfNumber, inject: oneHangs,
			env: slices.Concat(shortTimeout, env), target: ofDestination,
			silence: 15 * time.Second} // for the dead destination's own probes; the others are checked by the comparison
	}
	return []scenario{
		build("one-of-fifty-hangs", "one of fifty destinations never answers, with a fifth of the webhooks"),
		build("one-of-fifty-hangs-no-breaker", "the same, with breakers that never open", "BREAKER_MIN_ATTEMPTS=1000000"),
	}
}

// createDestinations creates an integration for each of the other destinations.
func createDestinations(ctx context.Context, r *run) error {
	names := make([]string, destinations-1)
	for i := range names {
		names[i] = strconv.Itoa(i + 1)
	}
	return createIntegrations(ctx, r, names...)
}

// createIntegrations creates an integration acme-NAME with the destination /acme/NAME for
// each name.
func createIntegrations(ctx context.Context, r *run, names ...string) error {
	const integrateSQL = `
WITH v (integration_id, n, secret_id, secret, destination_id, signing_secret) AS (VALUES %s), made AS (
    INSERT INTO integrations (id, source, provider, name, is_active, created_at, updated_at)
    SELECT v.integration_id, 'acme-' || v.n, provider, name, true, created_at, updated_at
    FROM   integrations, v
    WHERE  source = 'acme'
    RETURNING id, created_at
), secrets AS (
    INSERT INTO integration_secrets (id, integration_id, secret, is_active, created_at)
    SELECT v.secret_id, made.id, v.secret, true, made.created_at
    FROM   made JOIN v ON v.integration_id = made.id
)
INSERT INTO destinations (id, integration_id, url, is_active, signing_secret, created_at, updated_at)
SELECT v.destination_id, v.integration_id, d.url || '/' || v.n, true, v.signing_secret, d.created_at, d.updated_at
FROM   v, destinations d JOIN integrations i ON i.id = d.integration_id AND i.source = 'acme'`
	rows, err := integrationRows(names)
	if err != nil {
		return err
	}
	_, err = r.sql(ctx, fmt.Sprintf(integrateSQL, rows))
	return err
}

// integrationRows returns the ids and sealed secrets of integrations with these names: a
// sealed text can only be decrypted in its own row.
func integrationRows(names []string) (string, error) {
	ring, err := keyring.New(keyring.Config{Current: secret.New(secretsKey)})
	if err != nil {
		return "", err
	}
	rows := make([]string, len(names))
	for i, name := range names {
		secretID, destinationID := id.New(), id.New()
		sealed, err := ring.Seal(secret.Place{Table: "integration_secrets", Column: "secret", Row: secretID}, secret.New(acmeSecret))
		if err != nil {
			return "", err
		}
		signing, err := ring.Seal(secret.Place{Table: "destinations", Column: "signing_secret", Row: destinationID}, secret.New(signingSecret))
		if err != nil {
			return "", err
		}
		rows[i] = fmt.Sprintf("(uuid '%s', '%s', uuid '%s', '%s', uuid '%s', '%s')", id.New(), name, secretID, sealed, destinationID, signing)
	}
	return strings.Join(rows, ", "), nil
}

// sourceOfNumber returns the source for the webhook of this number.
func sourceOfNumber(n int64) string {
	if n%deadShare == 0 {
		return "acme"
	}
	return fmt.Sprintf("acme-%d", 1+n%(destinations-1))
}

func oneHangs(ctx context.Context, r *run) error {
	began := clock.System()
	if err := sustain(ctx, measured); err != nil {
		return err
	}
	r.faultBegan()
	r.receiver.setHanging(deadEndpoint)
	defer r.faultEnded()
	defer r.receiver.setHanging("")
	hangs := clock.System()
	if err := sustain(ctx, measured); err != nil {
		return err
	}
	before, during := r.ledger.latency(began, hangs), r.ledger.latency(hangs, clock.System())
	r.say("    the other destinations' deliveries, 95th percentile: %v before, %v while one hangs", before, during)
	switch {
	case before == 0 || during == 0:
		r.fault("nothing was delivered to compare")
	case during > maxSlowdown*before:
		r.fault("the other destinations' deliveries took %v (95th percentile) while one hung, and %v before", during, before)
	}
	return nil
}

// latency is the 95th percentile of the time from acceptance to delivery of events accepted
// between two moments, without the dead destination's webhooks.
func (l *ledger) latency(from, to time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var took []time.Duration
	for external, e := range l.events {
		n, _ := strconv.Atoi(external[strings.LastIndexByte(external, '-')+1:])
		if n%deadShare == 0 || e.accepted.Before(from) || !e.accepted.Before(to) {
			continue
		}
		arrived := clock.System() // undelivered events have taken at least that long
		if len(e.delivered) > 0 {
			arrived = e.delivered[0].ended
		}
		took = append(took, max(arrived.Sub(e.accepted), time.Microsecond))
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)*95/100].Round(100 * time.Microsecond)
}
