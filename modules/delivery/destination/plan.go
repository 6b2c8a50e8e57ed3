package destination

import (
	"context"
	"maps"
	"reflect"

	"integration-gateway/platform/contract"
	"integration-gateway/platform/database"
)

// CheckDestination returns every violation of a new destination without creating it.
func (s *Store) CheckDestination(c contract.DestinationConfig) error {
	d := &Destination{Mode: contract.ModeCanonical, IsActive: true}
	return s.take(d, c)
}

// DestinationChanges names the fields that ChangeDestination would change with c, including
// write-only ones. Its errors are ChangeDestination's.
func (s *Store) DestinationChanges(ctx context.Context, tx *database.Tx, integrationID, destinationID string, c contract.DestinationConfig) ([]string, error) {
	before, err := s.opened(ctx, tx, integrationID, destinationID)
	if err != nil {
		return nil, err
	}
	after := *before
	if err := s.take(&after, c); err != nil {
		return nil, err
	}
	return before.differences(&after), nil
}

func (d *Destination) differences(other *Destination) []string {
	var names []string
	for _, f := range []struct {
		name      string
		different bool
	}{
		{"url", d.URL != other.URL}, {"mode", d.Mode != other.Mode}, {"filter", d.Filter != other.Filter},
		{"transform", d.Transform != other.Transform}, {"headers", !maps.Equal(d.headers, other.headers)},
		{"auth", !sameCredential(d.auth, other.auth)}, {"tls", d.tls != other.tls}, {"policy", !reflect.DeepEqual(d.shown().Policy, other.shown().Policy)},
		{"tracePropagation", d.TracePropagation != other.TracePropagation}, {"isActive", d.IsActive != other.IsActive},
	} {
		if f.different {
			names = append(names, f.name)
		}
	}
	return names
}

func sameCredential(a, b credential) bool {
	if a.kind() == authNone || b.kind() == authNone {
		return a.kind() == b.kind()
	}
	if len(a.Scopes) == 0 && len(b.Scopes) == 0 {
		a.Scopes, b.Scopes = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
