{{/*
Values that would do nothing, less than they say, or never work: each template here writes one line for each, with how to mend it.
A protection that is asked for and missing is noticed by nobody.
*/}}

{{/* What has no effect where something else is as it is. It is refused where it differs from values.yaml, whose defaults stand here. */}}
{{- define "iamd.refused.useless" }}
{{- $values := .Values }}
{{- $kind := printf "with `kind: %s`" .Values.kind }}
{{- $sidecar := eq .Values.kind "Sidecar" }}
{{- $daemon := eq .Values.kind "DaemonSet" }}
{{- $deployment := eq .Values.kind "Deployment" }}
{{- $tls := ne .Values.tls.secretName "" }}

{{- $scaling := dict "autoscaling.minReplicas" 2 "autoscaling.maxReplicas" 10 "autoscaling.cpuUtilization" 70 }}
{{- $disruption := dict "podDisruptionBudget.maxUnavailable" 1 }}
{{- $policy := dict "networkPolicy.callers" list "networkPolicy.monitoring" list "networkPolicy.egress" list }}
{{- $ofDeployment := merge (dict "replicas" 2 "autoscaling.enabled" false "topologySpreadConstraints" list) $scaling $disruption }}
{{- $ofPods := dict "networkPolicy.enabled" false "affinity" dict "imagePullSecrets" list "nodeSelector" dict "podAnnotations" dict
      "podLabels" dict "priorityClassName" "" "tolerations" list "serviceAccount.create" true "serviceAccount.name" ""
      "serviceAccount.annotations" dict }}

{{- /* When, why, and what. */}}
{{- range list
    (list $sidecar (print $kind ": the pod is the application's; set it in its chart") (merge $ofPods $ofDeployment $policy))
    (list $sidecar (print $kind ": only its pod reaches it, by loopback") (dict "service.annotations" dict "service.headless" false "grpc.insecure" false))
    (list $sidecar (print $kind ": a sidecar ends after its application, and needs no delay") (dict "drain.delaySeconds" 5))
    (list $daemon (print $kind ": it has one pod on each node, and keeps it while the node is drained; `nodeSelector`, `tolerations` and `affinity` say on which") $ofDeployment)
    (list (and $deployment $values.autoscaling.enabled) "with `autoscaling.enabled: true`, which decides how many there are" (dict "replicas" 2))
    (list (and $deployment (not $values.autoscaling.enabled)) "without `autoscaling.enabled: true`" $scaling)
    (list (and $deployment (not $values.podDisruptionBudget.enabled)) "without `podDisruptionBudget.enabled: true`" $disruption)
    (list (not (or $sidecar $values.networkPolicy.enabled)) "without `networkPolicy.enabled: true`" $policy)
    (list (and $values.networkPolicy.enabled (not $values.admin.expose)) "without `admin.expose: true`" (dict "networkPolicy.monitoring" list))
    (list (not $values.serviceAccount.create) "without `serviceAccount.create: true`" (dict "serviceAccount.annotations" dict))
    (list (not $values.podMonitor.enabled) "without `podMonitor.enabled: true`" (dict "podMonitor.labels" dict "podMonitor.interval" "15s" "podMonitor.tlsConfig" dict))
    (list (and $sidecar (not $values.podMonitor.enabled)) (print $kind " and without `podMonitor.enabled: true`") (dict "selectorLabels" dict))
    (list (not $values.prometheusRule.enabled) "without `prometheusRule.enabled: true`" (dict "prometheusRule.labels" dict "prometheusRule.runbookBase" ""))
    (list (not $values.dashboard.enabled) "without `dashboard.enabled: true`" (dict "dashboard.labels" (dict "grafana_dashboard" "1")))
    (list (not $tls) "without `tls.secretName`" (dict "tls.minVersion" "1.3"))
    (list (and $tls (not $sidecar)) "beside `tls.secretName`: nobody connects without TLS" (dict "grpc.insecure" false))
}}
  {{- $why := index . 1 }}
  {{- if index . 0 }}
    {{- range $path, $default := index . 2 }}
      {{- $value := $values }}
      {{- range splitList "." $path }}{{ $value = index $value . }}{{ end }}
      {{- if and (or $value $default) (ne (toJson $value) (toJson $default)) }}
`{{ $path }}` does nothing {{ $why }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and .Values.policies.volume (or .Values.policies.files .Values.policies.configMaps) }}
`policies.files` and `policies.configMaps` are not mounted beside `policies.volume`: set them, or the volume
{{- end }}
{{- end }}

{{- define "iamd.refused.protection" }}
{{- $tls := .Values.tls }}
{{- if not $tls.secretName }}
  {{- if not (or (eq .Values.kind "Sidecar") .Values.grpc.insecure) }}
without TLS whoever reaches the port can ask as anyone: set `tls.secretName`, or `grpc.insecure: true`
  {{- end }}
  {{- range list "clientCa" "allowedSans" }}
    {{- if index $tls . }}
`tls.{{ . }}` keeps nobody out without TLS: set `tls.secretName`, or remove it
    {{- end }}
  {{- end }}
  {{- if .Values.admin.tls }}
`admin.tls` uses the certificate of `tls.secretName`, which is not set
  {{- end }}
{{- else if and $tls.allowedSans (not $tls.clientCa) }}
`tls.allowedSans` needs `tls.clientCa: true`: without it clients show no certificates
{{- end }}
{{- end }}

{{- define "iamd.refused.monitoring" }}
{{- if .Values.podMonitor.enabled }}
  {{- if not .Values.admin.expose }}
`podMonitor.enabled` needs `admin.expose: true`
  {{- end }}
  {{- if and (eq .Values.kind "Sidecar") (not .Values.selectorLabels) }}
`podMonitor.enabled` needs `selectorLabels` with `kind: Sidecar`: the labels of the application's pods
  {{- end }}
  {{- if and .Values.podMonitor.tlsConfig (not .Values.admin.tls) }}
`podMonitor.tlsConfig` does nothing without `admin.tls: true`: metrics are scraped in plaintext
  {{- end }}
{{- end }}
{{- end }}

{{/* What the program, or Kubernetes, refuses only when it runs. */}}
{{- define "iamd.refused.impossible" }}
{{- $drain := .Values.drain }}
{{- $scaling := .Values.autoscaling }}
{{- $resources := .Values.resources | default dict }}
{{- if eq (int .Values.grpc.port) (int .Values.admin.port) }}
`grpc.port` and `admin.port` are both {{ .Values.grpc.port }}: set one to another
{{- end }}
{{- if and (hasKey .Values "enabled") (not .Values.enabled) }}
`enabled: false` switches off nothing here: it is for the `condition` of a chart that depends on this one
{{- end }}
{{- if and .Values.service.headless (eq .Values.kind "DaemonSet") }}
`service.headless` leads callers to the pods of all nodes, not to the one of their own: leave it out with `kind: DaemonSet`
{{- end }}
{{- if and (ne .Values.kind "Sidecar") (ge (int $drain.delaySeconds) (int $drain.timeoutSeconds)) }}
`drain.timeoutSeconds` ({{ $drain.timeoutSeconds }}) has to be more than `drain.delaySeconds` ({{ $drain.delaySeconds }}): both are counted from SIGTERM
{{- end }}
{{- if and $scaling.enabled (eq .Values.kind "Deployment") }}
  {{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
`autoscaling.minReplicas` ({{ $scaling.minReplicas }}) is more than `autoscaling.maxReplicas` ({{ $scaling.maxReplicas }}): lower it, or raise the other
  {{- end }}
  {{- if not (or (dig "requests" "cpu" "" $resources) (dig "limits" "cpu" "" $resources)) }}
`autoscaling.cpuUtilization` is a share of what is requested: set `resources.requests.cpu`
  {{- end }}
{{- end }}
{{- $unavailable := .Values.podDisruptionBudget.maxUnavailable }}
{{- $allowed := ternary "^(100|[1-9]?[0-9])%$" "^[0-9]+$" (kindIs "string" $unavailable) }}
{{- if not (regexMatch $allowed (toString $unavailable)) }}
`podDisruptionBudget.maxUnavailable` is `{{ $unavailable }}`: write a number of pods such as 1, or a percentage such as `25%`
{{- end }}
{{- end }}

{{/* The root file system is read-only; and of two that write to one file, the second does not start. */}}
{{- define "iamd.refused.decisionLog" }}
{{- $file := .Values.decisionLog }}
{{- $ofNode := ternary "hostPath" "" (eq .Values.kind "DaemonSet") }}
{{- if hasPrefix "/" $file }}
  {{- $writable := false }}
  {{- $shared := "" }}
  {{- range $mount := .Values.extraVolumeMounts }}
    {{- if and (hasPrefix (print (trimSuffix "/" $mount.mountPath) "/") $file) (not $mount.readOnly) }}
      {{- $writable = true }}
      {{- range $volume := $.Values.extraVolumes }}
        {{- if and (eq $volume.name $mount.name) (omit $volume "name" "emptyDir" "ephemeral" $ofNode) }}{{ $shared = $volume.name }}{{ end }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- if and $shared (not (contains "$(" $file)) }}
`decisionLog` is `{{ $file }}`, on a volume that pods may share (`{{ $shared }}`), and one of them would keep the others from starting: name it by the pod, such as `{{ dir $file }}/$(POD_NAME).log`, and let `env` take `POD_NAME` from `metadata.name`; or take an `emptyDir`
  {{- end }}
  {{- if not $writable }}
`decisionLog` is `{{ $file }}`, where nothing can be written: mount a volume there (`extraVolumes`, `extraVolumeMounts`), or log to `-`
  {{- end }}
{{- end }}
{{- end }}

{{/* What is more than the program takes by default (a quarter, an eighth) has to fit, as it counts. */}}
{{- define "iamd.refused.memory" }}
{{- $limit := int64 (include "iamd.bytes" (dig "limits" "memory" "" (.Values.resources | default dict))) }}
{{- $cache := int64 (include "iamd.bytes" .Values.cacheSize) }}
{{- $quarter := div $limit 4 }}
{{- $eighth := div $limit 8 }}
{{- if gt $cache (int64 (include "iamd.bytes" "64GiB")) }}
`cacheSize` is `{{ .Values.cacheSize }}`: at most `64GiB` is taken
{{- end }}
{{- if eq .Values.cacheSize "64MiB" }}{{ $cache = min $cache $quarter }}{{ end }}
{{- $queue := ternary (min 33554432 $eighth) 0 (ne .Values.decisionLog "") }}
{{- range .Values.extraArgs }}
  {{- if hasPrefix "--decision-log-queue=" . }}
    {{- $queue = int64 (include "iamd.bytes" (trimPrefix "--decision-log-queue=" .)) }}
  {{- end }}
{{- end }}
{{- /* Session policies take a quarter of the cache besides; calls are refused from 90 % on; 16 MiB are for all else. */}}
{{- $large := or (gt $cache $quarter) (gt $queue $eighth) }}
{{- if and $limit $large (gt (add $cache (div $cache 4) $queue 16777216) (mul 90 (div $limit 100))) }}
`resources.limits.memory` ({{ .Values.resources.limits.memory }}) has no room for `cacheSize` ({{ .Values.cacheSize }}) and a quarter of it, for the decision log's queue ({{ div $queue 1048576 }} MiB) and 16 MiB for all else below 90 %: raise it, or lower the others
{{- end }}
{{- end }}

{{/* A size of iamd's flags or a quantity of Kubernetes, as a number of bytes; 0 if it is neither. */}}
{{- define "iamd.bytes" -}}
{{- $text := kindIs "float64" . | ternary (printf "%.0f" (float64 (toString .))) (toString .) | trimSuffix "B" -}}
{{- $units := dict "" 1 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $number := regexFind "^[0-9]+([.][0-9]+)?" $text -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number $text) | default 0) | int64 -}}
{{- end }}

{{/*
Given twice, most flags end the start; one that the chart gives goes before its variable. And where metrics are exposed in plaintext,
--insecure-listen would let in one more address for calls, too.
*/}}
{{- define "iamd.refused.flags" }}
{{- $ours := dict }}
{{- range include "iamd.flags" . | fromYamlArray }}
  {{- $name := trimPrefix "--" . | splitList "=" | first }}
  {{- $_ := set $ours (prepend (splitList "-" $name) "IAMD" | join "_" | upper) $name }}
{{- end }}
{{- range .Values.extraArgs }}
  {{- $name := trimPrefix "--" . | splitList "=" | first }}
  {{- if eq $name "listen" }}
    {{- if not (hasPrefix "--listen=unix:" .) }}
`extraArgs` may add no address but `--listen=unix:/PATH`: set `grpc.port`, `tls` and `grpc.insecure`
    {{- end }}
  {{- else if and (has $name (values $ours)) (ne $name "tls-allowed-san") }}
`extraArgs` has `--{{ $name }}`, which the chart sets by a value of its own: set that
  {{- else if and (hasPrefix "decision-log-" $name) (not $.Values.decisionLog) }}
`extraArgs` has `--{{ $name }}`, which needs `decisionLog`
  {{- end }}
{{- end }}
{{- range .Values.env }}
  {{- with get $ours (toString .name) }}
`env` has a variable of `--{{ . }}`, which does nothing: the chart sets that flag by a value of its own; set that
  {{- end }}
{{- end }}
{{- end }}

{{/* TLS that the chart does not know of: probes, Service and monitoring would go on in plaintext, and the container be restarted for ever. */}}
{{- define "iamd.refused.tls" }}
{{- $found := dict }}
{{- range .Values.extraArgs }}{{ $_ := set $found (trimPrefix "--" . | splitList "=" | first) "extraArgs" }}{{ end }}
{{- range .Values.env }}{{ $_ := set $found (toString .name | lower | replace "_" "-" | trimPrefix "iamd-") "env" }}{{ end }}
{{- range $name, $where := $found }}
  {{- if has $name (list "admin-tls-client-ca" "admin-tls-allowed-san") }}
`{{ $where }}` sets `{{ $name }}`, but the container's own probes show no certificate: say by a NetworkPolicy who reaches the admin port
  {{- else if and (hasPrefix "admin-tls-" $name) (not $.Values.admin.tls) }}
`{{ $where }}` sets `{{ $name }}`, which probes would not know of: set `admin.tls: true`
  {{- else if and (hasPrefix "tls-" $name) (not $.Values.tls.secretName) }}
`{{ $where }}` sets `{{ $name }}`, which probes would not know of: set `tls.secretName`
  {{- end }}
{{- end }}
{{- end }}

{{/* A Service's name begins with a letter. */}}
{{- define "iamd.refused.names" }}
{{- range list "nameOverride" "fullnameOverride" }}
  {{- $name := index $.Values . }}
  {{- if not (regexMatch "^([a-z]([-a-z0-9]*[a-z0-9])?)?$" $name) }}
`{{ . }}` is `{{ $name }}`: write small letters, digits and `-`, beginning with a letter and ending with no `-`
  {{- end }}
{{- end }}
{{- end }}
