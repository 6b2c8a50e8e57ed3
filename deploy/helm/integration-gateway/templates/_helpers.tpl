{{- define "gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 50 characters, so that the longest ending fits in the 63 of a label. */}}
{{- define "gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "gateway.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "gateway.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "gateway.selector" -}}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "gateway.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "gateway.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gateway.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default (printf "v%s" .Chart.AppVersion) .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "gateway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "gateway.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "gateway.gracePeriod" -}}
{{ add (int .Values.drainDelaySeconds) (int .Values.shutdownGraceSeconds) 10 }}
{{- end -}}

{{- define "gateway.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "gateway.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* A list of variables wins over envFrom, so the chart's own cannot be changed by the Secret. */}}
{{- define "gateway.settings" -}}
{{- $own := dict
  "APP_ENV" "production"
  "DRAIN_DELAY_SECONDS" (.Values.drainDelaySeconds | int | toString)
  "SHUTDOWN_GRACE_SECONDS" (.Values.shutdownGraceSeconds | int | toString) -}}
{{- range $name, $value := merge (dict) .Values.settings $own }}
- name: {{ $name }}
  value: {{ if kindIs "float64" $value }}{{ $value | int64 | toString | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end -}}

{{- define "gateway.secretEnv" -}}
- secretRef:
    name: {{ .Values.existingSecret }}
{{- end -}}

{{- define "gateway.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The container that brings the schema up to date. Called as podMetadata is: it needs what the role's
program needs to reach the database, such as an authority's certificate. */}}
{{- define "gateway.migrator" -}}
name: migrate
image: {{ include "gateway.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
args: [migrate, up]
securityContext:
  {{- include "gateway.containerSecurity" .root | nindent 2 }}
envFrom:
  {{- include "gateway.envFrom" . | nindent 2 }}
env:
  {{- include "gateway.settings" .root | nindent 2 }}
resources:
  {{- toYaml .root.Values.migrations.resources | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- with .values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What the pods of both roles have in common. Called with root, role and values of the role. */}}
{{- define "gateway.podMetadata" -}}
metadata:
  labels:
    {{- include "gateway.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
    {{- with .values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or .values.podAnnotations .root.Values.settingsFile }}
  annotations:
    {{- if .root.Values.settingsFile }}
    checksum/settings-file: {{ .root.Values.settingsFile | sha256sum }}
    {{- end }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}

{{- define "gateway.podPlacement" -}}
serviceAccountName: {{ include "gateway.serviceAccountName" .root }}
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ include "gateway.gracePeriod" .root }}
{{- include "gateway.pullSecrets" .root }}
securityContext:
  {{- include "gateway.podSecurity" . | nindent 2 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: {{ $.root.Values.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "gateway.selector" $.root | nindent 8 }}
        app.kubernetes.io/component: {{ $.role }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

{{- define "gateway.volumes" -}}
- name: tmp
  emptyDir: {}
{{- if .root.Values.settingsFile }}
- name: settings-file
  configMap:
    name: {{ include "gateway.fullname" .root }}-settings
{{- end }}
{{- if and .root.Values.tls.secretName (eq .role "serve") }}
- name: tls
  secret:
    secretName: {{ .root.Values.tls.secretName }}
    defaultMode: 0440
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gateway.volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .root.Values.settingsFile }}
- {name: settings-file, mountPath: /etc/gateway, readOnly: true}
{{- end }}
{{- if and .root.Values.tls.secretName (eq .role "serve") }}
- {name: tls, mountPath: /etc/gateway-tls, readOnly: true}
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gateway.envFrom" -}}
{{ include "gateway.secretEnv" .root }}
{{- with .values.extraEnvFrom }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "gateway.env" -}}
{{- include "gateway.settings" .root | trim }}
- name: METRICS_ADDR
  value: 0.0.0.0:9464
{{- if .root.Values.settingsFile }}
- name: GATEWAY_CONFIG
  value: /etc/gateway/gateway.yaml
{{- end }}
{{- end -}}
