package helm

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	podsecurity "k8s.io/pod-security-admission/api"
	restrictions "k8s.io/pod-security-admission/policy"
)

// choices are the values that change which objects there are, one dimension a line. The first of
// each is the default.
var choices = [][]values{
	{{}, {"migrations": values{"mode": "job"}}, {"migrations": values{"mode": "off"}}},
	{{}, {"serve": values{"management": values{"enabled": false}}}},
	{{}, {"serve": values{"autoscaling": values{"enabled": true}}}},
	{{}, {"work": values{"autoscaling": values{"mode": "keda", "prometheusAddress": "http://prometheus:9090"}}},
		{"work": values{"autoscaling": values{"mode": "external"}}}},
	{{}, {"ingress": values{"enabled": true, "className": "nginx", "hosts": []any{"hooks.example.com", "hooks.example.org"},
		"tls": []any{values{"secretName": "tls", "hosts": []any{"hooks.example.com"}}}, "annotations": values{"a/b": "c"}}}},
	{{}, {"httpRoute": values{"enabled": true, "parentRefs": []any{values{"name": "public"}}, "hostnames": []any{"hooks.example.com"}}},
		{"httpRoute": values{"enabled": true, "parentRefs": []any{values{"name": "public"}}}}},
	{{}, {"podDisruptionBudget": values{"enabled": false}}, {"podDisruptionBudget": values{"maxUnavailable": "25%"}}},
	{{}, {"topologySpread": values{"enabled": false}}, {"topologySpread": values{"whenUnsatisfiable": "DoNotSchedule"}}},
	{{}, {"serviceAccount": values{"create": false}}, {"serviceAccount": values{"create": false, "name": "other"}}, {"serviceAccount": values{"name": "own", "annotations": values{"a/b": "c"}}}},
	{{}, {"serviceMonitor": values{"enabled": true, "labels": values{"release": "prometheus"}}}},
	{{}, {"prometheusRule": values{"enabled": true, "labels": values{"release": "prometheus"}, "runbookBaseURL": "https://docs.example.com/gateway/"}}},
	{{}, {"dashboard": values{"enabled": true, "annotations": values{"folder": "gateway"}}}},
	{{}, {"networkPolicy": values{"enabled": true}},
		{"networkPolicy": values{"enabled": true, "senders": peers("edge"), "management": peers("ops"), "metrics": peers("monitoring")}},
		{"networkPolicy": values{"enabled": true, "egress": values{"enabled": true, "servers": []any{values{"to": peers("databases")}}}}}},
	{{}, {"settings": values{"LOG_LEVEL": "debug", "DATABASE_MAX_CONNECTIONS": 12345678.0, "SECRETS_READ_PLAIN": false}}},
	{{}, {"settingsFile": "providers:\n  acme:\n    name: \"{{ acme }}\"\n"}},
	{{}, {"tls": values{"secretName": "certificate"}}},
	{{}, {"tests": values{"enabled": false}}},
	{{}, {"drainDelaySeconds": 0, "shutdownGraceSeconds": 60}},
	{{}, {"image": values{"digest": "sha256:" + strings.Repeat("a", 64), "pullSecrets": []any{"registry"}}}},
	{{}, {"nameOverride": strings.Repeat("long-", 30)}, {"fullnameOverride": strings.Repeat("x", 80)}, {"nameOverride": "hooks"}},
	{{}, {"commonLabels": values{"team": "platform"}, "serve": values{"podLabels": values{"a": "b"}, "podAnnotations": values{"c/d": "e"}}}},
	{{}, {"work": placed()}, {"serve": placed(), "work": placed()}},
}

func peers(namespace string) []any {
	return []any{values{"namespaceSelector": values{"matchLabels": values{"kubernetes.io/metadata.name": namespace}}}}
}

// placed are the values of a role that are passed through.
func placed() values {
	return values{
		"nodeSelector": values{"pool": "gateway"}, "priorityClassName": "high", "maxSurge": "50%",
		"tolerations":       []any{values{"key": "gateway", "operator": "Exists"}},
		"affinity":          values{"nodeAffinity": values{"requiredDuringSchedulingIgnoredDuringExecution": values{"nodeSelectorTerms": []any{values{"matchExpressions": []any{values{"key": "a", "operator": "Exists"}}}}}}},
		"extraEnv":          []any{values{"name": "EGRESS_ALLOW", "value": "10.0.0.0/8"}},
		"extraEnvFrom":      []any{values{"configMapRef": values{"name": "more"}}},
		"extraVolumes":      []any{values{"name": "authority", "configMap": values{"name": "authority"}}},
		"extraVolumeMounts": []any{values{"name": "authority", "mountPath": "/etc/authority"}},
	}
}

// Each choice alone, and 300 mixtures of all.
func TestEveryMixtureOfValuesIsSound(t *testing.T) {
	evaluator, err := restrictions.NewEvaluator(restrictions.DefaultChecks(), nil)
	require.NoError(t, err)
	known := knownSettings(t)
	check := func(mixture values) {
		t.Helper()
		o, err := render(mixture)
		require.NoError(t, err)
		text, err := json.Marshal(mixture)
		require.NoError(t, err)
		t.Run("", func(t *testing.T) {
			t.Log(string(text))
			checkNames(t, o)
			checkPods(t, o, evaluator, known)
			checkReferences(t, o)
			checkRollouts(t, o)
		})
	}
	for _, dimension := range choices {
		for _, choice := range dimension {
			check(with(choice))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var mixture []values
		for _, dimension := range choices {
			mixture = append(mixture, dimension[random.IntN(len(dimension))])
		}
		check(with(mixture...))
	}
}

// checkNames holds names and labels to what the API server accepts.
func checkNames(t *testing.T, o *objects) {
	t.Helper()
	seen := map[string]bool{}
	for _, object := range o.all {
		require.Empty(t, validation.IsDNS1035Label(object.GetName()), object.GetName())
		key := typeName(object) + " " + object.GetName()
		require.False(t, seen[key], "%s is there twice", key)
		seen[key] = true
		for label, value := range object.GetLabels() {
			require.Empty(t, validation.IsQualifiedName(label))
			require.Empty(t, validation.IsValidLabelValue(value), "%s: %s", label, value)
		}
		for annotation := range object.GetAnnotations() {
			require.Empty(t, validation.IsQualifiedName(annotation))
		}
		require.Equal(t, "hooks", object.GetLabels()["app.kubernetes.io/instance"], object.GetName())
	}
}

// checkPods holds pods to the strictest of the pod security standards, by the API server's own code,
// and their variables to settings that exist, each given once.
func checkPods(t *testing.T, o *objects, evaluator restrictions.Evaluator, known map[string]bool) {
	t.Helper()
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	for name, pod := range o.podsOf() {
		result := restrictions.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
		require.True(t, result.Allowed, "%s: %s", name, result.ForbiddenDetail())
		require.False(t, *pod.Spec.AutomountServiceAccountToken, name)
		volumes := map[string]bool{}
		for _, v := range pod.Spec.Volumes {
			require.False(t, volumes[v.Name], "%s: the volume %s is there twice", name, v.Name)
			volumes[v.Name] = true
		}
		for _, c := range containers(pod.Spec) {
			require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, name)
			require.NotEmpty(t, c.Resources.Requests, name)
			require.Contains(t, c.Resources.Limits, core.ResourceMemory, name)
			given := map[string]bool{}
			for _, variable := range c.Env {
				require.True(t, known[variable.Name], "%s: there is no setting %s", name, variable.Name)
				require.False(t, given[variable.Name], "%s: %s is given twice", name, variable.Name)
				given[variable.Name] = true
			}
			for _, m := range c.VolumeMounts {
				require.True(t, volumes[m.Name], "%s: there is no volume %s", name, m.Name)
			}
		}
	}
}

// checkReferences follows every name and selector from one object to another.
func checkReferences(t *testing.T, o *objects) {
	t.Helper()
	ports := map[string]bool{}
	for _, service := range o.services {
		selected := 0
		for _, d := range o.deployments {
			if !selects(service.Spec.Selector, d.Spec.Template.Labels) {
				continue
			}
			selected++
			for _, p := range service.Spec.Ports {
				require.True(t, hasPort(d.Spec.Template.Spec, p.TargetPort.StrVal), "%s: %s has no port %s", service.Name, d.Name, p.TargetPort.StrVal)
			}
		}
		require.Equal(t, map[bool]int{false: 1, true: 2}[strings.HasSuffix(service.Name, "-metrics")], selected, service.Name)
		for _, p := range service.Spec.Ports {
			ports[service.Name+" "+p.Name] = true
		}
	}
	for _, i := range o.ingresses {
		for _, rule := range i.Spec.Rules {
			for _, p := range rule.HTTP.Paths {
				require.True(t, ports[p.Backend.Service.Name+" "+p.Backend.Service.Port.Name], p.Backend.Service.Name)
			}
		}
	}
	for _, m := range o.monitors {
		selected := 0
		for _, service := range o.services {
			if selects(m.Spec.Selector.MatchLabels, service.Labels) {
				selected++
				require.True(t, ports[service.Name+" "+m.Spec.Endpoints[0].Port])
			}
		}
		require.Equal(t, 1, selected, "of both roles by one service, so that nothing is read twice")
	}
	for role, d := range o.deployments {
		require.True(t, selects(d.Spec.Selector.MatchLabels, d.Spec.Template.Labels), role)
		require.Equal(t, role, d.Spec.Selector.MatchLabels["app.kubernetes.io/component"])
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.ConfigMap != nil && v.Name == "settings-file" {
				require.Equal(t, o.configMaps[len(o.configMaps)-1].Name, v.ConfigMap.Name)
			}
		}
		for _, probe := range []*core.Probe{d.Spec.Template.Spec.Containers[0].LivenessProbe, d.Spec.Template.Spec.Containers[0].ReadinessProbe, d.Spec.Template.Spec.Containers[0].StartupProbe} {
			require.True(t, hasPort(d.Spec.Template.Spec, probe.HTTPGet.Port.StrVal), role)
		}
		if budget, there := o.disruptions[role]; there {
			require.True(t, selects(budget.Spec.Selector.MatchLabels, d.Spec.Template.Labels), role)
		}
		if p, there := o.policies[role]; there {
			require.True(t, selects(p.Spec.PodSelector.MatchLabels, d.Spec.Template.Labels), role)
			for _, rule := range p.Spec.Ingress {
				require.True(t, hasPort(d.Spec.Template.Spec, rule.Ports[0].Port.StrVal), role)
			}
		}
		if a, there := o.autoscalers[role]; there {
			require.Equal(t, d.Name, a.Spec.ScaleTargetRef.Name)
		}
	}
	for _, s := range o.scaledObjects {
		require.Equal(t, o.deployments["work"].Name, s.Spec.ScaleTargetRef.Name)
	}
	hasAccount := map[string]bool{"default": true, "other": true}
	for _, a := range o.accounts {
		hasAccount[a.Name] = true
	}
	for name, pod := range o.podsOf() {
		require.True(t, pod.Spec.ServiceAccountName == "" || hasAccount[pod.Spec.ServiceAccountName], name)
	}
}

// checkRollouts holds what keeps webhooks flowing while pods are replaced.
func checkRollouts(t *testing.T, o *objects) {
	t.Helper()
	require.Len(t, o.deployments, 2)
	for role, d := range o.deployments {
		require.Equal(t, intstr.FromInt32(0), *d.Spec.Strategy.RollingUpdate.MaxUnavailable, role)
		scaled := o.autoscalers[role] != nil || role == "work" && len(o.scaledObjects) > 0
		require.Equal(t, scaled, d.Spec.Replicas == nil, "%s: a number of replicas would undo the autoscaler's", role)
		variables := environment(d.Spec.Template.Spec.Containers[0])
		total := number(t, variables["DRAIN_DELAY_SECONDS"]) + number(t, variables["SHUTDOWN_GRACE_SECONDS"])
		require.Equal(t, total+10, *d.Spec.Template.Spec.TerminationGracePeriodSeconds, role)
		require.Equal(t, "production", variables["APP_ENV"], role)
	}
}

// knownSettings are those of configs/gateway.yaml, and what the command line reads.
func knownSettings(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../configs/gateway.yaml")
	require.NoError(t, err)
	known := map[string]bool{"GATEWAY_CONFIG": true, "GATEWAY_API_KEY": true}
	for _, key := range regexp.MustCompile(`(?m)^([a-z0-9_]+):`).FindAllStringSubmatch(string(text), -1) {
		known[strings.ToUpper(key[1])] = true
	}
	require.Greater(t, len(known), 50)
	return known
}

// The API server admits an Egress rule of a policy only to those types.
func TestAPolicyWithoutEgressConfinesNone(t *testing.T) {
	o := mustRender(t, values{"networkPolicy": values{"enabled": true}})
	for role, p := range o.policies {
		require.Equal(t, []networking.PolicyType{networking.PolicyTypeIngress}, p.Spec.PolicyTypes, role)
		require.Empty(t, p.Spec.Egress, role)
	}
	require.Empty(t, o.policies["work"].Spec.Ingress, "nobody connects to a worker")
}
