package test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// stack loads compose.yaml, and files over it, like docker compose with an empty environment. It
// fails if the files do not conform to the Compose schema.
func stack(t *testing.T, over ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions(append([]string{"../compose.yaml"}, over...), cli.WithInterpolation(true), cli.WithConsistency(true))
	require.NoError(t, err)
	project, err := options.LoadProject(context.Background())
	require.NoError(t, err)
	return project
}

func TestComposeConformsToTheSchema(t *testing.T) {
	project := stack(t)
	require.ElementsMatch(t, []string{"postgres", "redis", "rabbitmq", "migrator", "seeder", "api", "worker", "proxy"}, project.ServiceNames())
}

func TestComposePublishesOnLoopback(t *testing.T) {
	want := map[string][]string{
		"postgres": {"127.0.0.1:5434:5432"},
		"redis":    {"127.0.0.1:6381:6379"},
		"rabbitmq": {"127.0.0.1:5672:5672", "127.0.0.1:15672:15672"},
		"api":      {"127.0.0.1:3000-3001:3000"},
		"proxy":    {"127.0.0.1:8082:8080"},
	}
	for name, service := range stack(t).Services {
		var got []string
		for _, p := range service.Ports {
			got = append(got, fmt.Sprintf("%s:%s:%d", p.HostIP, p.Published, p.Target))
		}
		require.Equal(t, want[name], got, name)
	}
}

func TestComposeStartsInOrder(t *testing.T) {
	services := stack(t).Services
	for _, c := range []struct{ name, service, on, condition string }{
		{"the schema waits for the database", "migrator", "postgres", types.ServiceConditionHealthy},
		{"the seed waits for the schema", "seeder", "migrator", types.ServiceConditionCompletedSuccessfully},
		{"the API waits for the seed", "api", "seeder", types.ServiceConditionCompletedSuccessfully},
		{"the worker waits for the seed", "worker", "seeder", types.ServiceConditionCompletedSuccessfully},
		{"the proxy waits for the API", "proxy", "api", types.ServiceConditionStarted},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.condition, services[c.service].DependsOn[c.on].Condition)
		})
	}
	for _, role := range []string{"api", "worker"} {
		require.NotContains(t, services[role].DependsOn, "redis", "%s starts without Redis", role)
		require.NotContains(t, services[role].DependsOn, "rabbitmq", "%s starts without RabbitMQ", role)
	}
}

func TestComposeRestrictsTheGatewaysContainers(t *testing.T) {
	for _, name := range []string{"migrator", "seeder", "api", "worker", "proxy"} {
		service := stack(t).Services[name]
		require.True(t, service.ReadOnly, name)
		require.Equal(t, []string{"ALL"}, service.CapDrop, name)
		require.Contains(t, service.SecurityOpt, "no-new-privileges:true", name)
	}
	for _, name := range []string{"postgres", "redis", "rabbitmq", "api", "worker", "proxy"} {
		require.NotNil(t, stack(t).Services[name].HealthCheck, "%s has a health check", name)
	}
	for _, name := range []string{"postgres", "redis", "rabbitmq", "api", "worker", "proxy"} {
		require.Equal(t, "unless-stopped", stack(t).Services[name].Restart, name)
	}
}

func TestTheSeededDestinationIsReachable(t *testing.T) {
	services := stack(t).Services
	require.Equal(t, types.ShellCommand{"seed", "--callback-base", "http://api:3000/api/v1/internal/delivery-sink"}, services["seeder"].Command)
	require.Equal(t, "api", *services["worker"].Environment["EGRESS_ALLOW"])
	require.Contains(t, services["api"].Networks, "default")
	require.Contains(t, services["worker"].Networks, "default")
}

// TestTheProxyAloneIsBelieved: its address is fixed, and the API trusts X-Forwarded-For
// only from it.
func TestOnlyTheProxyIsTrusted(t *testing.T) {
	services := stack(t).Services
	address := services["proxy"].Networks["edge"].Ipv4Address
	require.NotEmpty(t, address)
	require.Equal(t, address+"/32", *services["api"].Environment["TRUSTED_PROXIES"])
}

// settings are the variables that configs/gateway.yaml documents.
func settings(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../configs/gateway.yaml")
	require.NoError(t, err)
	var names []string
	for _, key := range regexp.MustCompile(`(?m)^([a-z0-9_]+):`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, strings.ToUpper(key[1]))
	}
	require.NotEmpty(t, names)
	return names
}

func TestSettingsInExamplesAreKnown(t *testing.T) {
	known := settings(t)
	for _, name := range []string{"migrator", "seeder", "api", "worker"} {
		for variable := range stack(t).Services[name].Environment {
			require.Contains(t, known, variable, "compose.yaml, %s", name)
		}
	}
	file, err := os.Open("../.env.example")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	count := 0
	for lines.Scan() {
		if variable, _, ok := strings.Cut(lines.Text(), "="); ok && !strings.HasPrefix(variable, "#") {
			count++
			require.Contains(t, known, variable, ".env.example")
		}
	}
	require.NoError(t, lines.Err())
	require.Positive(t, count)
}
