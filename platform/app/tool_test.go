package app

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/fault"
	"integration-gateway/platform/secret"
)

// A command waited for ever for a database that did not answer.
func TestACommandGivesUpOnADatabaseThatDoesNotAnswer(t *testing.T) {
	require.Equal(t, 10*time.Second, toolPatience)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and says nothing
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())
	for name, address := range map[string]string{"silent": silent.Addr().String(), "gone": gone.Addr().String()} {
		cfg := devConfig(t)
		cfg.Database.URL = secret.New("postgres://u:p@" + address + "/d?sslmode=disable")
		_, err := openForTool(context.Background(), cfg, quiet, 100*time.Millisecond)
		require.True(t, fault.Is(err, fault.Unavailable), "%s: %v", name, err)
		require.ErrorContains(t, err, "did not answer within 100ms; check DATABASE_URL")
		require.NotContains(t, err.Error(), "u:p@")
	}
}
