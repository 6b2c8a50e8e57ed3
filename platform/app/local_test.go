package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"integration-gateway/platform/client"
	"integration-gateway/platform/httpapi"
)

// localClient speaks to the API of a command in this process.
func localClient(t *testing.T) (*client.Client, *LocalAPI) {
	t.Helper()
	api, err := OpenLocalAPI(context.Background(), migratedConfig(t), quiet, false)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, api.Close()) })
	c, err := client.New(client.Options{URL: "http://localhost", Transport: api})
	require.NoError(t, err)
	return c, api
}

func TestACommandAnswersTheAPIItself(t *testing.T) {
	c, api := localClient(t)
	var made struct{ ID, CreatedBy string }
	require.NoError(t, c.Post(t.Context(), "/api-keys", map[string]any{"name": "a", "role": "viewer"}, &made))
	require.Equal(t, "gateway-cli", made.CreatedBy)
	err := c.Post(t.Context(), "/api-keys", map[string]any{"name": "a", "role": "viewer"}, nil)
	var answered *client.Error
	require.ErrorAs(t, err, &answered)
	require.Equal(t, http.StatusConflict, answered.Status)
	require.NotEmpty(t, answered.RequestID)
	_, err = c.Get(t.Context(), "/nowhere", nil, nil)
	require.True(t, client.IsNotFound(err))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Get(ctx, "/events", nil, nil)
	require.True(t, errors.Is(err, context.Canceled))

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, httpapi.Base+"/events", http.NoBody)
	require.NoError(t, err)
	w := &answerWriter{header: http.Header{}}
	api.system.manager.Handler().ServeHTTP(w, req)
	require.Equal(t, http.StatusUnauthorized, w.status, "nobody else is the command line")
}

func TestAPlanIsAppliedAsItWasConfirmed(t *testing.T) {
	c, _ := localClient(t)
	described := func(name string, more map[string]any) map[string]any {
		body := map[string]any{"integrations": []any{map[string]any{"source": "made", "provider": "acme", "name": name, "secrets": []string{"long-enough-secret"}}}}
		for field, value := range more {
			body[field] = value
		}
		return body
	}
	type plan struct {
		Applied bool
		Steps   []struct{ Source, Sign, Text string }
	}
	apply := func(body map[string]any) (p plan, err error) {
		err = c.Post(t.Context(), "/integrations/apply", body, &p)
		return p, err
	}
	dry, err := apply(described("a", map[string]any{"dryRun": true}))
	require.NoError(t, err)
	require.False(t, dry.Applied)
	require.Len(t, dry.Steps, 1)
	step := dry.Steps[0]
	confirmed := []string{step.Sign + " " + step.Source + ": " + step.Text}

	done, err := apply(described("a", map[string]any{"expected": confirmed}))
	require.NoError(t, err)
	require.True(t, done.Applied)
	for _, body := range []map[string]any{described("b", map[string]any{"expected": confirmed}), described("b", map[string]any{"expected": []string{}})} {
		_, err = apply(body)
		var answered *client.Error
		require.ErrorAs(t, err, &answered)
		require.Equal(t, http.StatusConflict, answered.Status)
	}
	var shown []struct{ Name string }
	_, err = c.Get(t.Context(), "/integrations", nil, &shown)
	require.NoError(t, err)
	require.Equal(t, "a", shown[0].Name, "nothing was done")

	_, err = apply(map[string]any{"integrations": []any{map[string]any{"source": "made", "nmae": "b"}, map[string]any{"provider": "acme"}}})
	var answered *client.Error
	require.ErrorAs(t, err, &answered)
	text, _ := json.Marshal(answered.Fields)
	require.Contains(t, string(text), "integrations[0].nmae")
}
