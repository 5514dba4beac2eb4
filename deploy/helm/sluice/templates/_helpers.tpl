{{/* Labels of all objects. app.kubernetes.io/name alone selects the pods, so that a selector never changes. */}}
{{- define "sluice.labels" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The file config.yaml. Its checksum is an annotation of the pod, so that a change triggers a rollout. */}}
{{- define "sluice.config" -}}
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
{{- with omit .Values.kubeProxyConfiguration "apiVersion" "kind" }}
{{ toYaml . }}
{{- end }}
---
apiVersion: sluice.io/v1alpha1
kind: SluiceConfiguration
{{- with .Values.settings }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Health and metrics address: the value of the chart, otherwise that of kube-proxy's configuration, otherwise the default.
kube-proxy uses these addresses itself, so beside it Sluice needs others.
*/}}
{{- define "sluice.healthz" -}}
{{- $kubeProxy := regexFind "^.+:[0-9]+$" (toString .Values.kubeProxyConfiguration.healthzBindAddress) -}}
{{- $default := ternary "0.0.0.0:10356" ($kubeProxy | default "0.0.0.0:10256") (eq .Values.mode "beside") -}}
{{- .Values.healthzBindAddress | default $default -}}
{{- end }}

{{- define "sluice.metrics" -}}
{{- $kubeProxy := regexFind "^.+:[0-9]+$" (toString .Values.kubeProxyConfiguration.metricsBindAddress) -}}
{{- $default := ternary "127.0.0.1:10349" ($kubeProxy | default "127.0.0.1:10249") (eq .Values.mode "beside") -}}
{{- .Values.metricsBindAddress | default $default -}}
{{- end }}

{{- define "sluice.port" -}}
{{ regexFind "[0-9]+$" . }}
{{- end }}

{{/* The HTTP request of a probe. The kubelet sends it from the node, to loopback if Sluice listens on all addresses. */}}
{{- define "sluice.livez" -}}
{{- $address := include "sluice.healthz" . -}}
{{- $host := regexReplaceAll ":[0-9]+$" $address "" | trimPrefix "[" | trimSuffix "]" -}}
{{- $loopback := dict "0.0.0.0" "127.0.0.1" "::" "::1" -}}
{path: /livez, port: {{ include "sluice.port" $address }}, host: {{ get $loopback $host | default $host | quote }}}
{{- end }}

{{/* A duration of the configuration in milliseconds. */}}
{{- define "sluice.millis" -}}
{{- $unit := regexFind "[a-z]+$" . -}}
{{- mul (regexFind "^[0-9]+" . | int64) (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit) -}}
{{- end }}

{{/* Whether Sluice finds the API server through the kubeconfig in kube-proxy's ConfigMap. */}}
{{- define "sluice.usesKubeconfigOfKubeProxy" -}}
{{- and (eq .Values.mode "replace") (not .Values.apiServer.host) (not .Values.settings.masters) -}}
{{- end }}

{{/* Fails if values contradict each other, which the schema cannot express with a clear message. */}}
{{- define "sluice.validate" -}}
{{- /* Without a cluster, as in 'helm template', there is no namespace either. */ -}}
{{- if and (eq (include "sluice.usesKubeconfigOfKubeProxy" .) "true") (lookup "v1" "Namespace" "" "kube-system") -}}
{{- if not (index ((lookup "v1" "ConfigMap" .Release.Namespace "kube-proxy").data | default dict) "kubeconfig.conf") -}}
{{- fail (printf "the ConfigMap kube-proxy in namespace %s has no key kubeconfig.conf with the address of the API server; set apiServer.host, because the Service of the API server works only after Sluice has connected" .Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- $drain := .Values.settings.drainTimeout | default "30s" -}}
{{- if ge (include "sluice.millis" $drain | int64) (mul 1000 (.Values.terminationGracePeriodSeconds | int64)) -}}
{{- fail (printf "settings.drainTimeout is %s; it must be shorter than terminationGracePeriodSeconds (%d), otherwise the kubelet kills Sluice while it drains" $drain (.Values.terminationGracePeriodSeconds | int64)) -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (regexMatch "^(127\\..*|\\[::1\\]:.*|off)$" (include "sluice.metrics" .)) -}}
{{- fail (printf "podMonitor.enabled is true, but the metrics address is '%s'; set metricsBindAddress to an address that Prometheus can reach, such as 0.0.0.0:10249" (include "sluice.metrics" .)) -}}
{{- end -}}
{{- if and .Values.prometheusRule.enabled (not .Values.podMonitor.enabled) -}}
{{- fail "prometheusRule.enabled is true, but podMonitor.enabled is false; the alerts need the metrics that the PodMonitor collects" -}}
{{- end -}}
{{- end }}
