{{/* Kubernetes' own gRPC probe cannot speak TLS. */}}
{{- define "shoal.ready" -}}
{{- if .Values.tls.secretName -}}
httpGet:
  path: /readyz
  port: http
{{- else -}}
grpc:
  port: 50051
{{- end -}}
{{- end -}}
