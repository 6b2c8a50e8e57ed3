package console

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"integration-gateway/platform/clock"
)

// systemPage is the state of the gateway itself.
type systemPage struct {
	Version   string
	Processes []processRow
	Health    health
	Names     []string // of the dependencies, sorted
	Stats     systemStats
	Partition []partition
	Checkup   []checkupLine
	Wrong     int // lines of the checkup that are not good

	now time.Time
}

type processRow struct {
	ID         string      `json:"id"`
	Role       string      `json:"role"`
	Version    string      `json:"version"`
	Host       string      `json:"host"`
	StartedAt  clock.Time  `json:"startedAt"`
	SeenAt     clock.Time  `json:"lastSeenAt"`
	ClockAhead int64       `json:"clockAheadMs"`
	LostAt     *clock.Time `json:"lostAt"`
	StoppedAt  *clock.Time `json:"stoppedAt"`
}

// state is running, lost or stopped.
func (p processRow) state() string {
	switch {
	case p.StoppedAt != nil && p.LostAt == nil:
		return "stopped"
	case p.LostAt != nil:
		return "lost"
	}
	return "running"
}

type health struct {
	Status string `json:"status"`
	Checks map[string]struct {
		Status string `json:"status"`
	} `json:"checks"`
}

type systemStats struct {
	MeasuredAt *clock.Time `json:"measuredAt"`
	Gateway    struct {
		Now        waiting            `json:"now"`
		OutboxLag  float64            `json:"outboxLagSeconds"`
		SealLag    float64            `json:"sealLagSeconds"`
		Partitions map[string]float64 `json:"partitionHorizonSeconds"`
		Disk       *struct {
			Bytes      int64      `json:"bytes"`
			MeasuredAt clock.Time `json:"measuredAt"`
			Tables     []struct {
				Table string `json:"table"`
				Bytes int64  `json:"bytes"`
			} `json:"tables"`
			Sources []struct {
				Source string `json:"source"`
				Bytes  int64  `json:"bytes"`
			} `json:"sources"`
		} `json:"disk"`
		Check *struct {
			FinishedAt clock.Time       `json:"finishedAt"`
			Holds      bool             `json:"holds"`
			Problems   int64            `json:"problems"`
			Found      map[string]int64 `json:"found"`
		} `json:"consistencyCheck"`
	} `json:"gateway"`
}

type partition struct {
	Table string
	Ahead float64
}

func (m *Module) system(v *visit) error {
	p := systemPage{Version: m.cfg.Version}
	health := func(ctx context.Context) error {
		text, err := v.api.Health(ctx)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &p.Health)
	}
	if err := v.together(v.into("/processes", nil, &p.Processes), v.into("/stats", nil, &p.Stats), health); err != nil {
		return err
	}
	for name := range p.Health.Checks {
		p.Names = append(p.Names, name)
	}
	slices.Sort(p.Names)
	for table, ahead := range p.Stats.Gateway.Partitions {
		p.Partition = append(p.Partition, partition{table, ahead})
	}
	slices.SortFunc(p.Partition, func(a, b partition) int { return int(a.Ahead - b.Ahead) })
	p.now = m.d.Now()
	p.Checkup = p.checkup(p.now)
	for _, line := range p.Checkup {
		if line.Kind != "good" {
			p.Wrong++
		}
	}
	return v.showWith(http.StatusOK, "system", "System", p, nil)
}
