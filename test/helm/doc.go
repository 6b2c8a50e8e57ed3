// Package helm checks the chart in deploy/helm: it renders it with many combinations of values and
// holds each object against the types of its API. It is a module of its own, so that what Kubernetes
// needs is not among the gateway's dependencies.
package helm
