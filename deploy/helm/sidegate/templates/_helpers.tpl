{{- define "sidegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sidegate.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- else if contains (include "sidegate.name" .) .Release.Name }}
{{- .Release.Name | trunc 54 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sidegate.name" .) | trunc 54 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "sidegate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sidegate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sidegate.labels" -}}
{{ include "sidegate.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sidegate.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sidegate.claim" -}}
{{- default (printf "%s-store" (include "sidegate.fullname" .)) .Values.persistence.existingClaim }}
{{- end }}

{{- /* Five seconds more than the longest call. */}}
{{- define "sidegate.graceSeconds" -}}
{{- add .Values.shutdown.callTimeoutSeconds 5 }}
{{- end }}

{{- /* Delay, calls, the PSA's end, ten seconds for Sidegate's own and ten to spare. */}}
{{- define "sidegate.terminationSeconds" -}}
{{- $psa := ternary .Values.shutdown.psaSeconds 0 .Values.psa.enabled }}
{{- add .Values.shutdown.drainDelaySeconds (include "sidegate.graceSeconds" .) $psa 20 }}
{{- end }}

{{- define "sidegate.container" -}}
name: sidegate
image: {{ include "sidegate.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if .Values.psa.enabled }}
# A native sidecar: starts before the PSA, is stopped after it.
restartPolicy: Always
{{- end }}
args: ["serve"]
env:
  # These win over sidegate.toml: ports, probes and the grace period of this pod rely on them.
  - name: SIDEGATE__SERVER__LISTEN
    value: 0.0.0.0:8443
  - name: SIDEGATE__SERVER__DRAIN_DELAY
    value: {{ .Values.shutdown.drainDelaySeconds }}s
  - name: SIDEGATE__SERVER__CALL_TIMEOUT
    value: {{ .Values.shutdown.callTimeoutSeconds }}s
  - name: SIDEGATE__SERVER__GRACE
    value: {{ include "sidegate.graceSeconds" . }}s
  - name: SIDEGATE__OPS__LISTEN
    value: 0.0.0.0:9464
  # The network policy keeps everyone but the kubelet and Prometheus out.
  - name: SIDEGATE__OPS__ALLOW_PLAINTEXT
    value: "true"
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - name: mcp
    containerPort: 8443
  - name: ops
    containerPort: 9464
# Not /readyz: the PSA starts only after this, and readiness needs the PSA.
startupProbe:
  httpGet:
    path: /livez
    port: 9464
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet:
    path: /livez
    port: 9464
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /readyz
    port: 9464
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- if .Values.psa.enabled }}
lifecycle:
  preStop:
    exec:
      command: ["/usr/bin/sidegate", "drain"]
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsUser: 65532
  runAsGroup: 65532
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: ["ALL"]
volumeMounts:
  - name: config
    mountPath: /etc/sidegate
    readOnly: true
  # Whole directories, no subPath: that is how a renewed secret reaches a running container.
  {{- if .Values.tls.secretName }}
  - name: tls
    mountPath: /run/secrets/sidegate-tls
    readOnly: true
  {{- end }}
  {{- if .Values.secrets }}
  - name: secrets
    mountPath: /run/secrets/sidegate
    readOnly: true
  {{- end }}
  - name: store
    mountPath: /var/lib/sidegate
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "sidegate.psaProbe" -}}
exec:
  command:
    {{- toYaml .Values.psa.healthCommand | nindent 4 }}
timeoutSeconds: 5
{{- end }}

{{- define "sidegate.psaContainer" -}}
{{- with .Values.psa }}
name: psa
image: {{ printf "%s:%s" .image.repository .image.tag | quote }}
imagePullPolicy: {{ .image.pullPolicy }}
{{- with .command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .args }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .healthCommand }}
startupProbe:
  {{- include "sidegate.psaProbe" $ | nindent 2 }}
  periodSeconds: 5
  failureThreshold: {{ div (add .startSeconds 4) 5 }}
livenessProbe:
  {{- include "sidegate.psaProbe" $ | nindent 2 }}
  periodSeconds: 20
  failureThreshold: 3
readinessProbe:
  {{- include "sidegate.psaProbe" $ | nindent 2 }}
  periodSeconds: 10
  failureThreshold: 3
{{- end }}
lifecycle:
  preStop:
    # Sidegate answers when its last call has ended; until then the PSA gets no SIGTERM.
    httpGet:
      path: /drained
      port: 9464
resources:
  {{- toYaml .resources | nindent 2 }}
securityContext:
  {{- toYaml .securityContext | nindent 2 }}
volumeMounts:
  - name: psa-temporary
    mountPath: /tmp
  {{- with .extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
