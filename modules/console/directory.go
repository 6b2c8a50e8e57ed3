package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"integration-gateway/platform/clock"
)

// integration is what the console shows of one.
type integration struct {
	ID           string            `json:"id"`
	Source       string            `json:"source"`
	Provider     string            `json:"provider"`
	Name         string            `json:"name"`
	Active       bool              `json:"isActive"`
	Destinations []destinationInfo `json:"destinations"`
	Secrets      []secretInfo      `json:"secrets"`
	Options      json.RawMessage   `json:"options"`
	ArchivedAt   *clock.Time       `json:"archivedAt"`
	CreatedAt    clock.Time        `json:"createdAt"`
}

type destinationInfo struct {
	ID        string     `json:"id"`
	URL       string     `json:"url"`
	Active    bool       `json:"isActive"`
	Mode      string     `json:"mode"`
	Filter    string     `json:"filter"`
	Transform string     `json:"transform"`
	Auth      string     `json:"auth"`
	Headers   []string   `json:"headers"`
	Breaker   string     `json:"breaker"`
	Pause     *pauseInfo `json:"pause"`
	Policy    policyInfo `json:"policy"`
	CreatedAt clock.Time `json:"createdAt"`
	UpdatedAt clock.Time `json:"updatedAt"`
}

// pauseInfo says why a destination is paused, and until when.
type pauseInfo struct {
	By     *string     `json:"by"`
	Reason *string     `json:"reason"`
	Until  *clock.Time `json:"until"`
}

// policyInfo are the limits that a destination has of its own; nil is the configured one.
type policyInfo struct {
	TimeoutMs   *int64 `json:"timeoutMs"`
	MaxAttempts *int64 `json:"maxAttempts"`
	RetryBaseMs *int64 `json:"retryBaseMs"`
	RetryCapMs  *int64 `json:"retryCapMs"`
	Concurrency *int64 `json:"concurrency"`
	Rate        *int64 `json:"ratePerSecond"`
}

// place is a destination as lists name it.
type place struct {
	ID, Name, Host, URL string
	Source, Integration string
	Known               bool
	Held                string // why deliveries wait: "is paused" or "is failing"; "" if they do not
}

// directory are the sources and destinations that there are or were.
type directory struct {
	Integrations []integration
	places       map[string]place
}

// directory reads the integrations, removed ones too.
func (v *visit) directory() (directory, error) {
	var d directory
	err := v.directoryInto(&d)(v.ctx)
	return d, err
}

func (v *visit) directoryInto(d *directory) reading {
	return func(ctx context.Context) error {
		err := v.into("/integrations", url.Values{"archived": {"true"}}, &d.Integrations)(ctx)
		d.name()
		return err
	}
}

// name names the destinations after their sources.
func (d *directory) name() {
	d.places = map[string]place{}
	for _, in := range d.Integrations {
		for i, dest := range in.Destinations {
			p := place{ID: dest.ID, Name: fmt.Sprintf("%s/%d", in.Source, i+1), URL: dest.URL, Host: dest.URL, Source: in.Source, Integration: in.ID, Known: true}
			if u, err := url.Parse(dest.URL); err == nil && u.Host != "" {
				p.Host = u.Host + strings.TrimSuffix(u.Path, "/")
			}
			switch {
			case !dest.Active:
				p.Held = "is paused"
			case dest.Breaker == "open" || dest.Breaker == "half_open":
				p.Held = "is failing"
			}
			d.places[dest.ID] = p
		}
	}
}

// place returns a destination by its id; one that is not known has its id for a name.
func (d directory) place(id string) place {
	if p, known := d.places[id]; known {
		return p
	}
	return place{ID: id, Name: short(id)}
}

// sources are the names of the sources that are there now.
func (d directory) sources() []string {
	var names []string
	for _, in := range d.Integrations {
		if in.ArchivedAt == nil {
			names = append(names, in.Source)
		}
	}
	return names
}
