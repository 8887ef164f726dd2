{{/*
The container and its volumes: for this chart's own pods, and for those of charts that depend on this one:

    initContainers:
      {{- include "iamd.sidecar" .Subcharts.iamd | nindent 8 }}
    volumes:
      {{- include "iamd.volumes" .Subcharts.iamd | nindent 8 }}
*/}}

{{/* A native sidecar: an init container that starts before the application and ends after it. */}}
{{- define "iamd.sidecar" -}}
{{- if ne .Values.kind "Sidecar" }}{{ fail "iamd: a chart that includes iamd.sidecar sets `iamd.kind: Sidecar`" }}{{ end -}}
- name: iamd
  restartPolicy: Always
  {{- include "iamd.container" . | nindent 2 }}
{{- end }}

{{- define "iamd.container" -}}
{{- $period := .Values.probes.periodSeconds -}}
image: {{ include "iamd.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args:
  {{- include "iamd.args" . | nindent 2 }}
{{- with .Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- if ne .Values.kind "Sidecar" }}
  - {name: grpc, containerPort: {{ .Values.grpc.port }}, protocol: TCP}
  {{- end }}
  - {name: iamd-admin, containerPort: {{ .Values.admin.port }}, protocol: TCP}
# The image has no shell, and nothing but the pod's own loopback need be open: the program asks itself.
startupProbe:
  {{- include "iamd.probe" . | nindent 2 }}
  periodSeconds: 1
  failureThreshold: {{ .Values.probes.startSeconds }}
readinessProbe:
  {{- include "iamd.probe" . | nindent 2 }}
  periodSeconds: {{ $period }}
  failureThreshold: 2
livenessProbe:
  {{- include "iamd.livenessProbe" . | nindent 2 }}
  periodSeconds: {{ $period }}
  failureThreshold: 6
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
volumeMounts:
  {{- include "iamd.volumeMounts" . | nindent 2 }}
{{- end }}

{{- define "iamd.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $image.repository $image.digest | quote }}
{{- else -}}
{{ printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) | quote }}
{{- end -}}
{{- end }}

{{- define "iamd.args" -}}
- serve
{{ include "iamd.flags" . }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* A sidecar serves its pod; the others everybody whom TLS, or who installs the chart, lets in (_refused.tpl). */}}
{{- define "iamd.flags" -}}
{{- $alone := ne .Values.kind "Sidecar" -}}
{{- $tls := .Values.tls.secretName -}}
- --policies={{ .Values.policies.mountPath }}
- --listen={{ if $alone }}0.0.0.0{{ else }}127.0.0.1{{ end }}:{{ .Values.grpc.port }}
- --admin-listen={{ if .Values.admin.expose }}0.0.0.0{{ else }}127.0.0.1{{ end }}:{{ .Values.admin.port }}
{{- if or (and $alone (not $tls)) (and .Values.admin.expose (not .Values.admin.tls)) }}
- --insecure-listen
{{- end }}
{{- if .Values.admin.tls }}
- --admin-tls-cert=/tls/tls.crt
- --admin-tls-key=/tls/tls.key
- --admin-tls-min-version={{ .Values.tls.minVersion }}
{{- end }}
{{- if $tls }}
- --listen=unix:/run/iamd/iamd.sock
- --tls-cert=/tls/tls.crt
- --tls-key=/tls/tls.key
- --tls-min-version={{ .Values.tls.minVersion }}
{{- if .Values.tls.clientCa }}
- --tls-client-ca=/tls/ca.crt
{{- end }}
{{- range .Values.tls.allowedSans }}
- {{ printf "--tls-allowed-san=%s" . | quote }}
{{- end }}
{{- end }}
{{- with .Values.policies.accountId }}
- --account-id={{ . }}
{{- end }}
{{- if .Values.policies.strict }}
- --strict
{{- end }}
{{- with .Values.decisionLog }}
- --decision-log={{ . }}
{{- end }}
- --cache-size={{ .Values.cacheSize }}
- --drain-delay={{ if $alone }}{{ .Values.drain.delaySeconds }}{{ else }}0{{ end }}s
- --drain-timeout={{ .Values.drain.timeoutSeconds }}s
- --log-format=json
- {{ printf "--log-level=%s" .Values.logLevel | quote }}
{{- end }}

{{/* With TLS by a Unix socket, which has none: so probes need neither a certificate nor to trust one. */}}
{{- define "iamd.probe" -}}
{{- $address := printf "127.0.0.1:%v" .Values.grpc.port -}}
{{- if .Values.tls.secretName }}{{ $address = "unix:/run/iamd/iamd.sock" }}{{ end -}}
exec:
  command: [iamd, healthcheck, --address, {{ $address | quote }}, --timeout, {{ .Values.probes.timeoutSeconds }}s]
# The probe's own limit says which of the two was slow.
timeoutSeconds: {{ add1 .Values.probes.timeoutSeconds }}
{{- end }}

{{/* Of the admin port: where all connections of the other are taken, the service is busy, not dead. */}}
{{- define "iamd.livenessProbe" -}}
exec:
  command:
    - iamd
    - healthcheck
    - --address
    - {{ printf "%s://127.0.0.1:%v" (ternary "https" "http" .Values.admin.tls) .Values.admin.port | quote }}
    - --timeout
    - {{ .Values.probes.timeoutSeconds }}s
timeoutSeconds: {{ add1 .Values.probes.timeoutSeconds }}
{{- end }}

{{- define "iamd.volumeMounts" -}}
- {name: iamd-policies, mountPath: {{ .Values.policies.mountPath }}, readOnly: true}
{{- if .Values.tls.secretName }}
- {name: iamd-tls, mountPath: /tls, readOnly: true}
- {name: iamd-run, mountPath: /run/iamd}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Whole volumes: what is mounted as a single file of one is never updated. */}}
{{- define "iamd.volumes" -}}
{{- $policies := .Values.policies -}}
- name: iamd-policies
  {{- if $policies.volume }}
  {{- toYaml $policies.volume | nindent 2 }}
  {{- else if or $policies.files $policies.configMaps }}
  projected:
    sources:
      {{- if $policies.files }}
      - configMap:
          name: {{ include "iamd.fullname" . }}
          items:
            {{- range $path, $_ := $policies.files }}
            - {key: {{ include "iamd.key" $path }}, path: {{ $path }}}
            {{- end }}
      {{- end }}
      {{- range $policies.configMaps }}
      - configMap:
          {{- toYaml . | nindent 10 }}
      {{- end }}
  {{- else }}
  {{- fail "iamd: there are no policies: set `policies.files`, `policies.configMaps` or `policies.volume`" }}
  {{- end }}
{{- if .Values.tls.secretName }}
- name: iamd-tls
  secret:
    secretName: {{ .Values.tls.secretName }}
    # In a sidecar's pod, which group may read is the application's business.
    defaultMode: {{ if eq .Values.kind "Sidecar" }}0444{{ else }}0440{{ end }}
- name: iamd-run
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Whether two pods on one node would have one directory to write to. */}}
{{- define "iamd.sharesNode" -}}
{{- range .Values.extraVolumes }}{{ if hasKey . "hostPath" }}true{{ end }}{{ end -}}
{{- end }}
