{{/* Names and labels. */}}

{{- define "iamd.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end }}

{{- define "iamd.fullname" -}}
{{- $name := include "iamd.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* The name of the monitor becomes the job, in which the alerts look for `iamd`. */}}
{{- define "iamd.monitor" -}}
{{- $name := include "iamd.fullname" . -}}
{{- if contains "iamd" $name }}{{ $name }}{{ else }}{{ $name }}-iamd{{ end -}}
{{- end }}

{{- define "iamd.selectorLabels" -}}
{{- if .Values.selectorLabels -}}
{{- toYaml .Values.selectorLabels -}}
{{- else -}}
app.kubernetes.io/name: {{ include "iamd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- end }}

{{- define "iamd.labels" -}}
app.kubernetes.io/name: {{ include "iamd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: authorization
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "iamd.metadata" -}}
name: {{ include "iamd.fullname" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "iamd.labels" . | nindent 2 }}
{{- end }}

{{- define "iamd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "iamd.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{/* Keys of a ConfigMap have no folders. The schema allows no `__` in paths, so that no two have one key. */}}
{{- define "iamd.key" -}}
{{- . | replace "/" "__" -}}
{{- end }}
