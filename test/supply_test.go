package test

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// workflow is the part of a GitHub Actions workflow that these tests read.
type workflow struct {
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		Permissions map[string]string `yaml:"permissions"`
		Steps       []struct {
			Uses string `yaml:"uses"`
			Run  string `yaml:"run"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

func eachWorkflow(t *testing.T, test func(t *testing.T, text string, w workflow)) {
	t.Helper()
	paths, err := filepath.Glob("../.github/workflows/*.yml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			var w workflow
			require.NoError(t, yaml.Unmarshal(text, &w))
			test(t, string(text), w)
		})
	}
}

// A tag can be moved by the owner of the action's repository; a commit cannot.
func TestActionsArePinnedToACommit(t *testing.T) {
	pinned := regexp.MustCompile(`uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	eachWorkflow(t, func(t *testing.T, text string, _ workflow) {
		for line := range strings.Lines(text) {
			if strings.Contains(line, "uses: ") {
				require.Regexp(t, pinned, strings.TrimSpace(line))
			}
		}
	})
}

// The repository's dependencies are updated automatically.
func TestDependenciesAreUpdatedAutomatically(t *testing.T) {
	text, err := os.ReadFile("../.github/dependabot.yml")
	require.NoError(t, err)
	var config struct {
		Version int
		Updates []struct {
			Ecosystem string `yaml:"package-ecosystem"`
			Directory string
			Schedule  struct{ Interval string }
		}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	require.NoError(t, decoder.Decode(&config))
	require.Equal(t, 2, config.Version)
	kept := map[string]string{}
	for _, u := range config.Updates {
		kept[u.Ecosystem+" in "+u.Directory] = u.Schedule.Interval
	}
	for file, ecosystem := range map[string]string{"go.mod": "gomod in /", ".github/workflows": "github-actions in /", "Dockerfile": "docker in /", "compose.yaml": "docker-compose in /",
		"test/typescript/package-lock.json": "npm in /test/typescript", "test/helm/go.mod": "gomod in /test/helm"} {
		_, err := os.Stat(filepath.Join("..", file))
		require.NoError(t, err)
		require.Equal(t, "weekly", kept[ecosystem], file)
	}
}

// An image without a tag is whatever is newest when it is pulled.
func TestImagesHaveATag(t *testing.T) {
	tagged := regexp.MustCompile(`^[\w./-]+:[\w.-]+(@sha256:[0-9a-f]{64})?$`)
	images := 0
	for _, service := range stack(t).Services {
		require.Regexp(t, tagged, service.Image)
		images++
	}
	text, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	for _, from := range regexp.MustCompile(`(?m)^FROM (?:--\S+ )?(\S+)`).FindAllStringSubmatch(string(text), -1) {
		require.Regexp(t, tagged, from[1])
		images++
	}
	require.Equal(t, 10, images)
	require.NotContains(t, string(text), ":latest")
}

// Jobs that run the repository's code, including dependencies, have no write access.
func TestBuildAndTestJobsHaveNoWriteAccess(t *testing.T) {
	eachWorkflow(t, func(t *testing.T, _ string, w workflow) {
		require.Equal(t, map[string]string{"contents": "read"}, w.Permissions)
		for name, job := range w.Jobs {
			runs := false
			for _, step := range job.Steps {
				runs = runs || strings.HasPrefix(step.Uses, "actions/checkout@")
			}
			for scope, access := range job.Permissions {
				require.False(t, runs && access == "write", "%s checks out the repository and may write %s", name, scope)
			}
		}
	})
}

// go.mod lists test dependencies in a separate block.
func TestTestDependenciesAreListedSeparately(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	blocks := regexp.MustCompile(`(?s)\nrequire \((.*?)\n\)`).FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 3, "the program's, the tests', and indirect ones")
	required := func(block string) (paths []string) {
		for line := range strings.Lines(strings.TrimSpace(block)) {
			paths = append(paths, strings.Fields(line)[0])
		}
		return paths
	}
	program, err := build()
	require.NoError(t, err)
	info, err := buildinfo.ReadFile(program)
	require.NoError(t, err)
	var linked []string
	for _, dep := range info.Deps {
		linked = append(linked, dep.Path)
	}
	require.Subset(t, linked, required(blocks[0][1]))
	for _, path := range required(blocks[1][1]) {
		require.NotContains(t, linked, path)
	}
}

// The edge admits senders, but nobody to the management API.
func TestTheEdgeForwardsOnlyWebhooksAndHealth(t *testing.T) {
	file, err := os.ReadFile("../docker/nginx.conf")
	require.NoError(t, err)
	text := regexp.MustCompile(`(?m)#.*$`).ReplaceAllString(string(file), "")
	passed := map[string]bool{}
	for _, location := range regexp.MustCompile(`(?s)location\s+([^{]+?)\s*\{(.*?)\}`).FindAllStringSubmatch(text, -1) {
		passed[location[1]] = strings.Contains(location[2], "proxy_pass")
		if passed[location[1]] {
			require.Contains(t, location[2], "limit_req ", location[1])
			require.Contains(t, location[2], "proxy_pass http://api;", "the request line is forwarded unchanged")
		}
	}
	require.Equal(t, map[string]bool{`~ ^/api/v1/webhooks/[a-z0-9][a-z0-9_-]*$`: true, `~ ^/api/v1/(health|readyz)$`: true, "/": false}, passed)
	require.Regexp(t, `location / \{\s*return 404;`, text)
	require.Regexp(t, `upstream api \{[^}]*zone [^}]*server api:3000 resolve`, text, "every container of the service is found")
	for _, needed := range []string{"limit_conn connections_of_client ", "limit_conn connections ", "limit_req_status 429;", "proxy_set_header X-Forwarded-For $remote_addr;"} {
		require.Contains(t, text, needed)
	}
}

// Without an environment a container runs in production.
func TestTheImageIsForProduction(t *testing.T) {
	text, err := os.ReadFile("../Dockerfile")
	require.NoError(t, err)
	_, last, found := strings.Cut(string(text), "FROM gcr.io/distroless/")
	require.True(t, found)
	require.Contains(t, last, "ENV APP_ENV=production")
	for _, name := range []string{"migrator", "seeder", "api", "worker"} {
		require.Equal(t, "development", *stack(t).Services[name].Environment["APP_ENV"], "the stack's keys are well known")
	}
}
