package ingestion

import (
	"context"

	"integration-gateway/platform/provider"
	"integration-gateway/platform/secret"
)

// source is a configured source together with the secrets that are never stored.
type source struct {
	*provider.Source
	ownSecrets []secret.Value // the gateway's own
}

func (m *Module) withOwnSecrets(s *provider.Source) *source { return &source{s, m.cfg.OwnSecrets} }

// find returns the active source of that name.
func (m *Module) find(ctx context.Context, name string) (*source, error) {
	found, err := m.d.Sources.Source(ctx, name)
	if err != nil {
		return nil, err
	}
	return m.withOwnSecrets(found), nil
}
