package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The described service has neither DELIVERY_TIMEOUT_MS nor RETRY_MAX_DELAY_MS: what
// was right there must not be refused for the sake of our defaults.
func TestOurDefaultsFitTheDescribedSettings(t *testing.T) {
	for _, c := range []struct {
		sentence string
		env      map[string]string
		timeout  time.Duration
		cap      time.Duration
	}{
		{"a lock that is shorter than our timeout", map[string]string{"PROCESSING_LOCK_TTL_SECONDS": "15"}, 11250 * time.Millisecond, 30 * time.Minute},
		{"the shortest one", map[string]string{"PROCESSING_LOCK_TTL_SECONDS": "1"}, 750 * time.Millisecond, 30 * time.Minute},
		{"one that is longer", map[string]string{"PROCESSING_LOCK_TTL_SECONDS": "16"}, 15 * time.Second, 30 * time.Minute},
		{"a first delay beyond our longest", map[string]string{"RETRY_BASE_DELAY_MS": "3600000"}, 15 * time.Second, time.Hour},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, enough, c.env)
			cfg, err := Load(Options{Role: Serve})
			require.NoError(t, err)
			require.Equal(t, c.timeout, cfg.Delivery.Timeout)
			require.Equal(t, c.cap, cfg.Delivery.RetryCap)
		})
	}
	setup(t, enough, map[string]string{"PROCESSING_LOCK_TTL_SECONDS": "15", "DELIVERY_TIMEOUT_MS": "15000"})
	_, err := Load(Options{Role: Serve})
	require.ErrorContains(t, err, "PROCESSING_LOCK_TTL_SECONDS: 15s does not outlive", "what somebody set is theirs")
}

func TestRecordsAreKept(t *testing.T) {
	for _, c := range []struct {
		sentence      string
		env           map[string]string
		events, audit time.Duration
	}{
		{"for a quarter of a year and for 400 days", nil, 90 * day, 400 * day},
		{"as long as repeats are known, where that is longer", map[string]string{"IDEMPOTENCY_TTL_SECONDS": "31536000"}, 365 * day, 400 * day},
		{"for hours", map[string]string{"RETENTION_EVENTS": "24h", "RETENTION_AUDIT": "1h"}, day, time.Hour},
		{"for a hundred years", map[string]string{"RETENTION_EVENTS": "36500d"}, 36500 * day, 400 * day},
		{"for ever, with 0", map[string]string{"RETENTION_EVENTS": "0", "RETENTION_AUDIT": "0"}, 0, 0},
		{"for ever, with nothing", map[string]string{"RETENTION_EVENTS": "", "RETENTION_AUDIT": ""}, 0, 0},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			setup(t, enough, c.env)
			cfg, err := Load(Options{Role: Serve})
			require.NoError(t, err)
			require.Equal(t, Retention{Events: c.events, Audit: c.audit}, cfg.Retention)
		})
	}
}
