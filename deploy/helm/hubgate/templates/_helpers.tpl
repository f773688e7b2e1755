{{- define "hubgate.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "hubgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hubgate.labels" -}}
{{ include "hubgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | replace "+" "_" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The file of a node: what the chart sets, and over it what the user says. */}}
{{- define "hubgate.config" -}}
{{- $tls := dict "cert_files" (list "/etc/hubgate/tls/tls.crt") "key_files" (list "/etc/hubgate/tls/tls.key") -}}
{{- $nats := dict "url" .Values.nats.url -}}
{{- if .Values.nats.replicas }}{{ $_ := set $nats "replicas" (int .Values.nats.replicas) }}{{ end -}}
{{- if .Values.nats.credsSecret }}{{ $_ := set $nats "creds" (printf "/etc/hubgate/nats/%s" .Values.nats.credsKey) }}{{ end -}}
{{- $admin := dict "listen" "127.0.0.1:9610" -}}
{{- if .Values.metrics.enabled -}}
{{- $_ := required "metrics.tokenSecret is required with metrics.enabled: whoever reaches the listener could read all metrics" .Values.metrics.tokenSecret -}}
{{- $admin = dict "listen" "0.0.0.0:9610" "token_file" (printf "/etc/hubgate/admin/%s" .Values.metrics.tokenKey) -}}
{{- end -}}
{{- if dig "limits" "drain" "" .Values.config -}}
{{- fail "config.limits.drain: give drainSeconds instead, from which terminationGracePeriodSeconds is made too, or the node is killed before its drain has ended" -}}
{{- end -}}
{{- $chart := dict
  "hub" (dict "host" .Values.hub.host "aliases" .Values.hub.aliases)
  "listen" (dict "mqtt_port" 8883 "https_port" 8443)
  "tls" $tls
  "nats" $nats
  "limits" (dict "drain" (printf "%ds" (int .Values.drainSeconds)))
  "admin" $admin
  "log" (dict "format" "json") -}}
{{- toYaml (mergeOverwrite $chart (deepCopy .Values.config)) -}}
{{- end }}
