{{/* Names, labels and images that several templates share. */}}

{{/* Labels of an object. Takes (dict "root" $ "name" NAME). */}}
{{- define "ambit.labels" -}}
{{ include "ambit.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ambit
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels that select pods; they never change between versions. */}}
{{- define "ambit.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* A reference of an image. Takes (dict "root" $ "image" .Values.images.X). */}}
{{- define "ambit.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.global.registry }}{{ $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}{{ end -}}
{{- if .image.digest -}}
{{ $repository }}@{{ .image.digest }}
{{- else -}}
{{ $repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* imagePullSecrets of a pod. */}}
{{- define "ambit.pullSecrets" -}}
{{- with .Values.global.pullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Annotations of a pod that serves metrics. Takes (dict "root" $ "port" PORT "more" MAP). */}}
{{- define "ambit.podAnnotations" -}}
{{- $all := dict -}}
{{- if .root.Values.monitoring.annotations -}}
{{- $all = dict "prometheus.io/scrape" "true" "prometheus.io/port" (toString .port) "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- with merge (deepCopy .more) $all }}{{ toYaml . }}{{ end -}}
{{- end }}

{{/* Settings that both programs read. */}}
{{- define "ambit.meshEnvironment" -}}
- {name: AMBIT_TRUST_DOMAIN, value: {{ .Values.mesh.trustDomain | quote }}}
- {name: AMBIT_CLUSTER, value: {{ .Values.mesh.clusterName | quote }}}
- {name: AMBIT_EXCLUDED_NAMESPACES, value: {{ append .Values.mesh.excludedNamespaces .Release.Namespace | uniq | join "," | quote }}}
- {name: AMBIT_LOG_LEVEL, value: {{ .Values.log.level | quote }}}
- {name: AMBIT_LOG_JSON, value: {{ eq .Values.log.format "json" | quote }}}
{{- end }}

{{/* "true" if the monitors of the Prometheus operator are wanted. */}}
{{- define "ambit.operator" -}}
{{- $wanted := .Values.monitoring.operator -}}
{{- if or (eq $wanted "enabled") (and (eq $wanted "auto") (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
true
{{- end -}}
{{- end }}

{{/* What a container that needs no power runs with. */}}
{{- define "ambit.powerless" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Tolerations of a pod of the mesh, as a list in JSON. What takes a taint off has to run beside it.
Takes (dict "root" $ "more" LIST). */}}
{{- define "ambit.tolerations" -}}
{{- $own := list -}}
{{- if .root.Values.nodeTaint.enabled -}}
{{- range list "ambit.mesh/agent-not-ready" "cni.istio.io/not-ready" -}}
{{- $own = append $own (dict "key" . "operator" "Exists") -}}
{{- end -}}
{{- end -}}
{{- with concat .more $own }}{{ toJson . }}{{ end -}}
{{- end }}

{{/* How waypoints are made, as the control plane reads it. */}}
{{- define "ambit.waypoints" -}}
{{- $values := .Values.waypoint -}}
image: {{ include "ambit.image" (dict "root" $ "image" .Values.images.waypoint) | quote }}
imagePullPolicy: {{ .Values.global.pullPolicy }}
imagePullSecrets: {{ toJson .Values.global.pullSecrets }}
controlPlane: {{ printf "ambit-control-plane.%s.svc:15012" .Release.Namespace }}
istioClass: {{ $values.istioClass }}
replicas: {{ $values.replicas }}
autoscaling: {{ toJson $values.autoscaling }}
disruptionBudget: {{ $values.disruptionBudget }}
resources: {{ toJson $values.resources }}
nodeSelector: {{ toJson $values.nodeSelector }}
tolerations: {{ toJson $values.tolerations }}
priorityClassName: {{ $values.priorityClassName | quote }}
outsideRoots: {{ $values.outsideRoots | quote }}
podAnnotations:
  {{- include "ambit.podAnnotations" (dict "root" $ "port" 15020 "more" $values.podAnnotations) | default "{}" | nindent 2 }}
environment:
  AMBIT_CLUSTER: {{ .Values.mesh.clusterName | quote }}
  AMBIT_CLUSTER_DOMAIN: {{ .Values.mesh.clusterDomain | quote }}
  AMBIT_ROOT_NAMESPACES: {{ append .Values.mesh.rootNamespaces .Release.Namespace | uniq | join "," | quote }}
  AMBIT_LOG_LEVEL: {{ .Values.log.level | quote }}
  AMBIT_LOG_JSON: {{ eq .Values.log.format "json" | quote }}
  AMBIT_REPORTER: {{ $values.telemetry.reporter | quote }}
  AMBIT_LOG_QUERIES: {{ $values.telemetry.logQueries | quote }}
  AMBIT_RETRY_IDEMPOTENT_ONLY: {{ $values.retries.idempotentOnly | quote }}
  AMBIT_PATH_NORMALIZATION: {{ .Values.meshConfig.pathNormalization.normalization | quote }}
{{- end }}

{{/* Annotations of what is made for an uninstall only. Takes its weight. */}}
{{- define "ambit.uninstallHook" -}}
helm.sh/hook: pre-delete
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
helm.sh/hook-weight: {{ quote . }}
{{- end }}
