package helm

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

func typeName(v any) string { return fmt.Sprintf("%T", v) }

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return len(selector) > 0
}

func hasPort(pod core.PodSpec, name string) bool {
	for _, p := range pod.Containers[0].Ports {
		if p.Name == name {
			return true
		}
	}
	return false
}

func environment(c core.Container) map[string]string {
	found := map[string]string{}
	for _, variable := range c.Env {
		found[variable.Name] = variable.Value
	}
	return found
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err)
	return n
}

func TestMigrationsRunWhereTheyAreSet(t *testing.T) {
	for _, c := range []struct {
		mode       string
		inits, job int
	}{{"init", 1, 0}, {"job", 0, 1}, {"off", 0, 0}} {
		t.Run(c.mode, func(t *testing.T) {
			o := mustRender(t, values{"migrations": values{"mode": c.mode}, "settingsFile": "log_level: debug\n"})
			for role, d := range o.deployments {
				require.Len(t, d.Spec.Template.Spec.InitContainers, c.inits, role)
			}
			require.Len(t, o.jobs, c.job)
			for _, j := range o.jobs {
				require.Equal(t, "pre-install,pre-upgrade", j.Annotations["helm.sh/hook"])
				require.Equal(t, []string{"migrate", "up"}, j.Spec.Template.Spec.Containers[0].Args)
				// Nothing of the release is there yet when it is installed.
				require.Empty(t, j.Spec.Template.Spec.ServiceAccountName)
				for _, v := range j.Spec.Template.Spec.Volumes {
					require.Nil(t, v.ConfigMap)
				}
			}
		})
	}
}

// What reaches the database needs what serve and work need for that, such as an authority's
// certificate.
func TestMigrationsAndTheTestHaveWhatTheRolesHave(t *testing.T) {
	for _, mode := range []string{"init", "job"} {
		o := mustRender(t, values{"migrations": values{"mode": mode}, "serve": placed(), "work": placed()})
		found := 0
		for name, pod := range o.podsOf() {
			for _, c := range containers(pod.Spec) {
				if c.Args[0] != "migrate" && c.Args[0] != "doctor" {
					continue
				}
				found++
				require.Contains(t, c.VolumeMounts, core.VolumeMount{Name: "authority", MountPath: "/etc/authority"}, "%s of %s", c.Name, name)
				require.True(t, slices.ContainsFunc(pod.Spec.Volumes, func(v core.Volume) bool { return v.Name == "authority" }), name)
				require.Len(t, c.EnvFrom, 2)
			}
		}
		require.Equal(t, map[string]int{"init": 3, "job": 2}[mode], found)
	}
}

func TestOnlyWebhooksAndHealthAreLedIn(t *testing.T) {
	o := mustRender(t,
		values{"ingress": values{"enabled": true, "hosts": []any{"hooks.example.com"}}},
		values{"httpRoute": values{"enabled": true, "parentRefs": []any{values{"name": "public"}}}})
	want := map[string]string{"/api/v1/webhooks": "Prefix", "/api/v1/health": "Exact", "/api/v1/readyz": "Exact"}
	got := map[string]string{}
	for _, p := range o.ingresses[0].Spec.Rules[0].HTTP.Paths {
		got[p.Path] = string(*p.PathType)
	}
	require.Equal(t, want, got)
	got = map[string]string{}
	for _, m := range o.routes[0].Spec.Rules[0].Matches {
		got[*m.Path.Value] = strings.TrimPrefix(string(*m.Path.Type), "Path")
	}
	require.Equal(t, want, got)
}

func TestTheManagementAPIHasAServiceOfItsOwn(t *testing.T) {
	o := mustRender(t)
	variables := environment(o.deployments["serve"].Spec.Template.Spec.Containers[0])
	require.Equal(t, "0.0.0.0:3002", variables["MANAGEMENT_ADDR"])
	for _, s := range o.services {
		require.Equal(t, strings.HasSuffix(s.Name, "-management"), s.Spec.Ports[0].Port == 3002, s.Name)
	}

	o = mustRender(t, values{"serve": values{"management": values{"enabled": false}}})
	require.NotContains(t, environment(o.deployments["serve"].Spec.Template.Spec.Containers[0]), "MANAGEMENT_ADDR")
	require.Len(t, o.services, 2)
}

func TestWorkersAreScaledByTheAgeOfTheOldestDueJob(t *testing.T) {
	o := mustRender(t, values{"work": values{"autoscaling": values{"mode": "keda", "prometheusAddress": "http://prometheus:9090", "oldestDueJobAgeSeconds": 45}}})
	trigger := o.scaledObjects[0].Spec.Triggers[0]
	require.Equal(t, "prometheus", trigger.Type)
	require.Equal(t, "Value", trigger.MetricType)
	require.Equal(t, map[string]string{"serverAddress": "http://prometheus:9090", "threshold": "45",
		"query": `max(gateway_oldest_due_job_age_seconds{namespace="webhooks"})`}, trigger.Metadata)

	o = mustRender(t, values{"work": values{"autoscaling": values{"mode": "external"}}})
	metric := o.autoscalers["work"].Spec.Metrics[0].External
	require.Equal(t, "gateway_oldest_due_job_age_seconds", metric.Metric.Name)
	require.Equal(t, int64(30), metric.Target.Value.Value())

	// The name is one that the gateway exports.
	list, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	require.Contains(t, string(list), "`gateway_oldest_due_job_age_seconds`")
}

// The files are links, so that the chart's cannot differ from the tested ones.
func TestRulesAndDashboardAreTheDocumentedOnes(t *testing.T) {
	o := mustRender(t,
		values{"prometheusRule": values{"enabled": true, "runbookBaseURL": "https://docs.example.com/"}},
		values{"dashboard": values{"enabled": true}})
	file, err := os.ReadFile("../../deploy/prometheus/gateway.rules.yml")
	require.NoError(t, err)
	var want, got any
	text := strings.ReplaceAll(string(file), "runbook_url: docs/", "runbook_url: https://docs.example.com/docs/")
	require.NoError(t, yaml.Unmarshal([]byte(text), &want))
	rendered, err := yaml.Marshal(o.rules[0].Spec)
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(rendered, &got))
	require.Equal(t, want, got)

	dashboard, err := os.ReadFile("../../deploy/grafana/gateway.json")
	require.NoError(t, err)
	require.JSONEq(t, string(dashboard), o.configMaps[0].Data["gateway.json"])
}

func TestSettingsAndTheFileReachThePods(t *testing.T) {
	file := "providers:\n  acme:\n    name: \"{{ acme }}\"\n"
	o := mustRender(t, values{"settings": values{"LOG_LEVEL": "debug", "WEBHOOK_MAX_BODY_BYTES": 12345678.0, "SECRETS_READ_PLAIN": false}, "settingsFile": file})
	require.Equal(t, strings.TrimRight(file, "\n"), strings.Trim(o.configMaps[0].Data["gateway.yaml"], "\n"), "it is no template")
	sum := ""
	for role, d := range o.deployments {
		variables := environment(d.Spec.Template.Spec.Containers[0])
		require.Equal(t, "debug", variables["LOG_LEVEL"], role)
		require.Equal(t, "12345678", variables["WEBHOOK_MAX_BODY_BYTES"], "%s: not 1.2345678e+07", role)
		require.Equal(t, "false", variables["SECRETS_READ_PLAIN"], role)
		require.Equal(t, "/etc/gateway/gateway.yaml", variables["GATEWAY_CONFIG"], role)
		sum = d.Spec.Template.Annotations["checksum/settings-file"]
		require.NotEmpty(t, sum, role)
	}
	changed := mustRender(t, values{"settingsFile": file + "x: y\n"})
	require.NotEqual(t, sum, changed.deployments["work"].Spec.Template.Annotations["checksum/settings-file"], "a changed file replaces the pods")
}

func TestTLSChangesProbesAndTheTest(t *testing.T) {
	o := mustRender(t, values{"tls": values{"secretName": "certificate"}})
	serve := o.deployments["serve"].Spec.Template.Spec.Containers[0]
	require.Equal(t, core.URISchemeHTTPS, serve.ReadinessProbe.HTTPGet.Scheme)
	require.Equal(t, "/etc/gateway-tls/tls.crt", environment(serve)["TLS_CERT_FILE"])
	require.Equal(t, core.URIScheme(""), o.deployments["work"].Spec.Template.Spec.Containers[0].ReadinessProbe.HTTPGet.Scheme)
	require.Equal(t, []string{"status", "--api", "https://hooks-integration-gateway-management:3002"}, o.pods[0].Spec.Containers[0].Args)
}

// With egress confined, destinations at public addresses are still reached, and private ones are not.
func TestConfinedEgressReachesPublicDestinations(t *testing.T) {
	o := mustRender(t, values{"networkPolicy": values{"enabled": true, "egress": values{"enabled": true, "servers": []any{values{"to": peers("databases")}}}}})
	for role, p := range o.policies {
		require.Len(t, p.Spec.Egress, 3, role)
		require.Contains(t, p.Spec.PolicyTypes, networking.PolicyTypeEgress)
		require.Contains(t, p.Spec.Egress[1].To[0].IPBlock.Except, "169.254.0.0/16", "the cloud's metadata")
		require.Equal(t, "databases", p.Spec.Egress[2].To[0].NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
	}
}

func TestTheImageIsByTagOrDigest(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for _, c := range []struct {
		name  string
		image values
		want  string
	}{
		{"the chart's version", values{}, "registry.example.com/gateway:v0.1.0"},
		{"a tag", values{"tag": "v9"}, "registry.example.com/gateway:v9"},
		{"a digest wins", values{"tag": "v9", "digest": digest}, "registry.example.com/gateway@" + digest},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, pod := range mustRender(t, values{"image": c.image}).podsOf() {
				for _, container := range containers(pod.Spec) {
					require.Equal(t, c.want, container.Image, name)
				}
			}
		})
	}
}

func TestWrongValuesAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		given values
		want  string
	}{
		{"no image", values{"existingSecret": "x"}, "repository"},
		{"no secret", values{"image": values{"repository": "x"}}, "existingSecret"},
		{"a name that is not known", with(values{"replicas": 3}), "replicas"},
		{"an inner name that is not known", with(values{"serve": values{"replica": 3}}), "replica"},
		{"another way to migrate", with(values{"migrations": values{"mode": "always"}}), "migrations/mode"},
		{"a secret among the settings", with(values{"settings": values{"SECRETS_KEY": "x"}}), "SECRETS_KEY"},
		{"a setting of the chart's", with(values{"settings": values{"DRAIN_DELAY_SECONDS": 5}}), "DRAIN_DELAY_SECONDS"},
		{"a fraction, which Helm would round", with(values{"settings": values{"OTEL_TRACES_SAMPLER_ARG": 0.5}}), "OTEL_TRACES_SAMPLER_ARG"},
		{"keda without Prometheus", with(values{"work": values{"autoscaling": values{"mode": "keda"}}}), "prometheusAddress"},
		{"an ingress for no host", with(values{"ingress": values{"enabled": true}}), "hosts"},
		{"a route of no gateway", with(values{"httpRoute": values{"enabled": true}}), "parentRefs"},
		{"a digest that is none", with(values{"image": values{"digest": "latest"}}), "digest"},
		{"no surge: nothing could be replaced", with(values{"serve": values{"maxSurge": 0}}), "maxSurge"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := render(c.given)
			require.Error(t, err)
			require.Contains(t, lines(err), c.want)
		})
	}
}

// Values that the schema does not know could not be given, and the other way round.
func TestTheSchemaListsTheValues(t *testing.T) {
	read := func(name string) (content values) {
		text, err := os.ReadFile(chartFolder + "/" + name)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, &content))
		return content
	}
	var compare func(where string, schema, given values)
	compare = func(where string, schema, given values) {
		properties, _ := schema["properties"].(values)
		if properties == nil {
			return
		}
		for name := range given {
			require.Contains(t, properties, name, where)
		}
		for name, inner := range properties {
			if where == "" && name == "global" || strings.HasSuffix(where, ".resources") {
				continue // Helm's own, and Kubernetes'
			}
			require.Contains(t, given, name, where)
			if deeper, is := given[name].(values); is {
				compare(where+"."+name, inner.(values), deeper)
			}
		}
	}
	compare("", read("values.schema.json"), read("values.yaml"))
}

// The chart is of the release that it installs.
func TestTheChartIsOfTheLastRelease(t *testing.T) {
	text, err := os.ReadFile(chartFolder + "/Chart.yaml")
	require.NoError(t, err)
	var chart struct{ Version, AppVersion string }
	require.NoError(t, yaml.Unmarshal(text, &chart))
	changelog, err := os.ReadFile("../../CHANGELOG.md")
	require.NoError(t, err)
	require.Contains(t, string(changelog), "\n## ["+chart.AppVersion+"]")
	require.Equal(t, chart.AppVersion, chart.Version)
}
