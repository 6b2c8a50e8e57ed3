package helm

import (
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

const chartFolder = "../../deploy/helm/integration-gateway"

// values are those that somebody gives.
type values = map[string]any

// least are the values without which there is no installation.
func least() values {
	return values{"image": values{"repository": "registry.example.com/gateway"}, "existingSecret": "gateway"}
}

// with returns the values needed at least, and the given ones over them.
func with(given ...values) values {
	all := least()
	for _, v := range given {
		all = chartutil.CoalesceTables(clone(v), all)
	}
	return all
}

func clone(v values) values {
	copied := maps.Clone(v)
	for key, value := range copied {
		if inner, is := value.(values); is {
			copied[key] = clone(inner)
		}
	}
	return copied
}

// objects are what a release consists of.
type objects struct {
	deployments   map[string]*apps.Deployment // by component
	jobs          []*batch.Job
	pods          []*core.Pod
	services      []*core.Service
	configMaps    []*core.ConfigMap
	accounts      []*core.ServiceAccount
	ingresses     []*networking.Ingress
	policies      map[string]*networking.NetworkPolicy // by component
	disruptions   map[string]*policy.PodDisruptionBudget
	autoscalers   map[string]*autoscaling.HorizontalPodAutoscaler
	routes        []*gateway.HTTPRoute
	monitors      []*monitoring.ServiceMonitor
	rules         []*monitoring.PrometheusRule
	scaledObjects []*scaledObject
	all           []meta.Object
}

// render renders the chart and decodes each object strictly: an unknown or repeated field is an error, as it is to kubectl.
func render(given values) (*objects, error) {
	files, err := renderFiles(given)
	if err != nil {
		return nil, err
	}
	o := &objects{
		deployments: map[string]*apps.Deployment{}, policies: map[string]*networking.NetworkPolicy{},
		disruptions: map[string]*policy.PodDisruptionBudget{}, autoscalers: map[string]*autoscaling.HorizontalPodAutoscaler{},
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, text := range documents(files[name]) {
			if err := o.add(text); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, text)
			}
		}
	}
	return o, nil
}

func mustRender(t *testing.T, given ...values) *objects {
	t.Helper()
	o, err := render(with(given...))
	require.NoError(t, err)
	return o
}

// load reads the chart once: rendering does not change it. Helm's line about each link is no news.
var load = sync.OnceValues(func() (*chart.Chart, error) {
	log.SetOutput(io.Discard)
	defer log.SetOutput(os.Stderr)
	return loader.Load(chartFolder)
})

// renderFiles returns the manifests that the templates render, by the base name of each.
func renderFiles(given values) (map[string]string, error) {
	chart, err := load()
	if err != nil {
		return nil, fmt.Errorf("load the chart: %w", err)
	}
	release := chartutil.ReleaseOptions{Name: "hooks", Namespace: "webhooks", IsInstall: true, Revision: 1}
	// This checks the values against values.schema.json.
	top, err := chartutil.ToRenderValues(chart, given, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	rendered, err := (engine.Engine{Strict: true}).Render(chart, top)
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	files := map[string]string{}
	for name, text := range rendered {
		if path.Ext(name) == ".yaml" {
			files[path.Base(name)] = text
		}
	}
	return files, nil
}

var separator = regexp.MustCompile(`(?m)^---$`)

func documents(file string) (found []string) {
	for _, text := range separator.Split(file, -1) {
		var content map[string]any
		if err := yaml.Unmarshal([]byte(text), &content); err != nil || len(content) > 0 {
			found = append(found, text)
		}
	}
	return found
}

// add decodes an object by its kind. A kind that it does not know is an error, so that nothing is unchecked.
func (o *objects) add(text string) error {
	var kind meta.TypeMeta
	if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
		return err
	}
	var object meta.Object
	switch kind.APIVersion + " " + kind.Kind {
	case "apps/v1 Deployment":
		object = &apps.Deployment{}
	case "batch/v1 Job":
		object = &batch.Job{}
	case "v1 Pod":
		object = &core.Pod{}
	case "v1 Service":
		object = &core.Service{}
	case "v1 ConfigMap":
		object = &core.ConfigMap{}
	case "v1 ServiceAccount":
		object = &core.ServiceAccount{}
	case "networking.k8s.io/v1 Ingress":
		object = &networking.Ingress{}
	case "networking.k8s.io/v1 NetworkPolicy":
		object = &networking.NetworkPolicy{}
	case "policy/v1 PodDisruptionBudget":
		object = &policy.PodDisruptionBudget{}
	case "autoscaling/v2 HorizontalPodAutoscaler":
		object = &autoscaling.HorizontalPodAutoscaler{}
	case "gateway.networking.k8s.io/v1 HTTPRoute":
		object = &gateway.HTTPRoute{}
	case "monitoring.coreos.com/v1 ServiceMonitor":
		object = &monitoring.ServiceMonitor{}
	case "monitoring.coreos.com/v1 PrometheusRule":
		object = &monitoring.PrometheusRule{}
	case "keda.sh/v1alpha1 ScaledObject":
		object = &scaledObject{}
	default:
		return fmt.Errorf("the kind %s of %s is not among those that are checked", kind.Kind, kind.APIVersion)
	}
	if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
		return err
	}
	o.keep(object)
	return nil
}

func (o *objects) keep(object meta.Object) {
	component := object.GetLabels()["app.kubernetes.io/component"]
	o.all = append(o.all, object)
	switch x := object.(type) {
	case *apps.Deployment:
		o.deployments[component] = x
	case *batch.Job:
		o.jobs = append(o.jobs, x)
	case *core.Pod:
		o.pods = append(o.pods, x)
	case *core.Service:
		o.services = append(o.services, x)
	case *core.ConfigMap:
		o.configMaps = append(o.configMaps, x)
	case *core.ServiceAccount:
		o.accounts = append(o.accounts, x)
	case *networking.Ingress:
		o.ingresses = append(o.ingresses, x)
	case *networking.NetworkPolicy:
		o.policies[component] = x
	case *policy.PodDisruptionBudget:
		o.disruptions[component] = x
	case *autoscaling.HorizontalPodAutoscaler:
		o.autoscalers[component] = x
	case *gateway.HTTPRoute:
		o.routes = append(o.routes, x)
	case *monitoring.ServiceMonitor:
		o.monitors = append(o.monitors, x)
	case *monitoring.PrometheusRule:
		o.rules = append(o.rules, x)
	case *scaledObject:
		o.scaledObjects = append(o.scaledObjects, x)
	}
}

// podsOf are the templates of all pods, by the name of what makes them.
func (o *objects) podsOf() map[string]core.PodTemplateSpec {
	found := map[string]core.PodTemplateSpec{}
	for _, d := range o.deployments {
		found[d.Name] = d.Spec.Template
	}
	for _, j := range o.jobs {
		found[j.Name] = j.Spec.Template
	}
	for _, p := range o.pods {
		found[p.Name] = core.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
	}
	return found
}

func containers(spec core.PodSpec) []core.Container {
	return append(slices.Clone(spec.InitContainers), spec.Containers...)
}

// scaledObject is the part of KEDA's ScaledObject (keda.sh/v1alpha1) that the chart uses, written
// by its reference: KEDA's own types would bring all of KEDA.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount *int32 `json:"minReplicaCount"`
		MaxReplicaCount *int32 `json:"maxReplicaCount"`
		Fallback        struct {
			FailureThreshold int32  `json:"failureThreshold"`
			Replicas         int32  `json:"replicas"`
			Behavior         string `json:"behavior"`
		} `json:"fallback"`
		Triggers []struct {
			Type       string            `json:"type"`
			MetricType string            `json:"metricType"`
			Metadata   map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// lines joins what was refused, so that tests look for words in it.
func lines(err error) string { return strings.ReplaceAll(fmt.Sprint(err), "\n", " ") }
