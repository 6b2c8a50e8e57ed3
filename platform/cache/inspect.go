package cache

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Inspection describes the Redis server. Servers may withhold any of it.
type Inspection struct {
	Version  string
	Major    int
	Eviction string // maxmemory_policy
	Limited  bool   // it has a limit of memory
}

// Inspect writes a key, as Ping does, and asks the server for its version.
func (r *Redis) Inspect(ctx context.Context) (Inspection, error) {
	var found Inspection
	if err := r.client.Set(ctx, r.prefix+"ping", "1", pingTTL).Err(); err != nil {
		return found, fmt.Errorf("write a key: %w", err)
	}
	text, err := r.client.Info(ctx, "server", "memory").Result()
	if err != nil {
		return found, nil //nolint:nilerr // a user of few rights may not ask
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			found.Version = value
			major, _, _ := strings.Cut(value, ".")
			found.Major, _ = strconv.Atoi(major)
		case "maxmemory_policy":
			found.Eviction = value
		case "maxmemory":
			found.Limited = value != "0"
		}
	}
	return found, nil
}
