package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const clusterFile = "../compose.cluster.yaml"

func TestSeveralOfEachRoleRun(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		want  int
		ports string
	}{{"the stack", nil, 2, "3000-3001"}, {"the clusters", []string{clusterFile}, 3, "3000-3002"}} {
		t.Run(c.name, func(t *testing.T) {
			services := stack(t, c.files...).Services
			for _, role := range []string{"api", "worker"} {
				require.Equal(t, c.want, *services[role].Deploy.Replicas, role)
			}
			require.Len(t, services["api"].Ports, 1)
			require.Equal(t, c.ports, services["api"].Ports[0].Published, "a port for each replica")
		})
	}
}

// Each URL names servers that there are, and each role speaks to the same ones.
func TestTheClustersAreNamedByTheirServices(t *testing.T) {
	project := stack(t, clusterFile)
	known := settings(t)
	hosts := regexp.MustCompile(`([a-z]+(?:-[0-9])?):(?:5432|26379|5672)`)
	for _, role := range []string{"migrator", "seeder", "api", "worker"} {
		environment := project.Services[role].Environment
		for variable := range environment {
			require.Contains(t, known, variable, role)
		}
		for variable, want := range map[string]int{"DATABASE_URL": 2, "REDIS_URL": 3, "RABBITMQ_URL": 3} {
			named := hosts.FindAllStringSubmatch(*environment[variable], -1)
			require.Len(t, named, want, "%s of %s", variable, role)
			for _, n := range named {
				require.Contains(t, project.Services, n[1])
			}
		}
		require.Equal(t, "quorum", *environment["RABBITMQ_QUEUE_TYPE"], role)
		require.Equal(t, "development", *environment["APP_ENV"], "%s keeps what compose.yaml sets", role)
	}
	nodes, err := os.ReadFile("../docker/cluster/rabbitmq.conf")
	require.NoError(t, err)
	for _, n := range regexp.MustCompile(`rabbit@(\S+)`).FindAllStringSubmatch(string(nodes), -1) {
		require.Equal(t, n[1], project.Services[n[1]].Hostname, "a node's name is that of its host")
	}
	cookies := map[string]bool{}
	for _, name := range []string{"rabbitmq", "rabbitmq-2", "rabbitmq-3"} {
		cookies[*project.Services[name].Environment["RABBITMQ_ERLANG_COOKIE"]] = true
	}
	require.Len(t, cookies, 1)
	for name, service := range project.Services {
		require.True(t, service.HealthCheck != nil || name == "migrator" || name == "seeder", "%s has a health check", name)
		for _, v := range service.Volumes {
			if v.Type == "bind" {
				require.FileExists(t, v.Source)
			}
		}
	}
}

// Publishing stays as it is without clusters: on loopback.
func TestTheClustersPublishOnLoopback(t *testing.T) {
	for name, service := range stack(t, clusterFile).Services {
		for _, p := range service.Ports {
			require.Equal(t, "127.0.0.1", p.HostIP, name)
		}
	}
}

func TestTheClustersScriptsAreShellScripts(t *testing.T) {
	paths, err := filepath.Glob("../docker/cluster/*.sh")
	require.NoError(t, err)
	require.Len(t, paths, 3)
	for _, path := range paths {
		out, err := exec.Command("sh", "-n", path).CombinedOutput()
		require.NoError(t, err, "%s: %s", path, strings.TrimSpace(string(out)))
	}
}
