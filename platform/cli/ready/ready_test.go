package ready

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadyIsWhatTheProcessAnswers(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stopping":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/elsewhere":
			http.Redirect(w, r, "/readyz", http.StatusFound)
		case "/hangs":
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"200 is ready", []string{server.URL + "/readyz"}, ""},
		{"503 is not", []string{server.URL + "/stopping"}, "503"},
		{"a redirect is not followed", []string{server.URL + "/elsewhere"}, "302"},
		{"nobody listens", []string{closed.URL + "/readyz"}, "refused"},
		{"no answer in time", []string{server.URL + "/hangs", "--within=50ms"}, "deadline"},
		{"an address that is none", []string{"127.0.0.1:3000"}, "ready: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := Command()
			cmd.SetArgs(c.args)
			cmd.SilenceUsage, cmd.SilenceErrors = true, true
			err := cmd.ExecuteContext(context.Background())
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}
