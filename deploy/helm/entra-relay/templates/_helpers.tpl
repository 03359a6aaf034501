{{- define "entra-relay.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What selects the pods of a half: list of the root and the half's name. */ -}}
{{- define "entra-relay.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: entra-relay
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "entra-relay.labels" -}}
{{- $root := index . 0 -}}
{{ include "entra-relay.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "entra-relay.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ printf "%s@%s" .repository .digest }}
{{- else -}}
{{ printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* relay.yaml of a half: what both have, and its own over it. */ -}}
{{- define "entra-relay.config" -}}
{{- $root := index . 0 -}}
{{- $half := index . 1 -}}
{{- mergeOverwrite (deepCopy $root.Values.config) (deepCopy $half.config) | toYaml -}}
{{- end -}}

{{- /* The pod of a half: dict of root, half (its values), component and subcommand. */ -}}
{{- define "entra-relay.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "entra-relay.labels" (list $root .component) | nindent 4 }}
    {{- with .half.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Whoever changes relay.yaml starts the pods anew.
    checksum/config: {{ include "entra-relay.config" (list $root .half) | sha256sum }}
    {{- with .half.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .half.serviceAccountName }}
  serviceAccountName: {{ . }}
  {{- end }}
  # After SIGTERM the relay finishes what is in hand, for 25 seconds at most.
  terminationGracePeriodSeconds: 30
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- with $root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: entra-relay
      image: {{ include "entra-relay.image" $root | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [--config, /etc/entra-relay/relay.yaml, --log-format, {{ $root.Values.logFormat }}, {{ .subcommand }}]
      env:
        - { name: RELAY_ADMIN__LISTEN, value: "0.0.0.0:9464" }
        - { name: RELAY_CONTROL__LISTEN, value: "unix:/run/entra-relay/control.sock" }
        - { name: RELAY_STATE__PATH, value: /var/lib/entra-relay/watcher.redb }
        - { name: POD, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
        # Who it was, in traces.
        - { name: OTEL_RESOURCE_ATTRIBUTES, value: "k8s.namespace.name={{ $root.Release.Namespace }},k8s.pod.name=$(POD)" }
      ports:
        - { name: metrics, containerPort: 9464, protocol: TCP }
      # It answers once broker and Graph were asked for the first time, or were waited for long enough.
      startupProbe:
        httpGet: { path: /livez, port: metrics }
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 60
      # An outage of a server outside ends no pod: /livez says that every loop turns.
      livenessProbe:
        httpGet: { path: /livez, port: metrics }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: { path: /readyz, port: metrics }
        periodSeconds: 5
        timeoutSeconds: 5
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      resources:
        {{- toYaml .half.resources | nindent 8 }}
      volumeMounts:
        - { name: config, mountPath: /etc/entra-relay, readOnly: true }
        - { name: control, mountPath: /run/entra-relay }
        {{- if .half.secrets }}
        - { name: secrets, mountPath: /run/secrets/entra-relay, readOnly: true }
        {{- end }}
        {{- if .half.persistence }}
        - { name: state, mountPath: /var/lib/entra-relay }
        {{- end }}
  volumes:
    - name: config
      configMap: { name: {{ include "entra-relay.fullname" $root }}-{{ .component }} }
    - name: control
      emptyDir: { medium: Memory, sizeLimit: 1Mi }
    {{- with .half.secrets }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range . }}
          - secret:
              name: {{ .secret }}
              items:
                - { key: {{ .key }}, path: {{ default .key .file }} }
          {{- end }}
    {{- end }}
  {{- with .half.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .half.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .half.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
