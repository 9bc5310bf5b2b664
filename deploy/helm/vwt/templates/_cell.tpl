{{/* A document of deploy/kuberay for a cell: its pods bear the cell's name, so nothing selects those of another. */}}
{{- define "vwt.file" -}}
{{- .root.Files.Get (printf "files/%s" .file)
    | replace "app.kubernetes.io/part-of: vwt" (printf "app.kubernetes.io/part-of: %s" .cell.name)
    | replace "kubernetes.io/metadata.name: monitoring" (printf "kubernetes.io/metadata.name: %s" .root.Values.monitoring.namespace) -}}
{{- end -}}

{{/* What a cell gives over what is given for all. */}}
{{- define "vwt.cells" -}}
{{- $cells := list -}}
{{- range .Values.cells -}}
{{- $cells = append $cells (mergeOverwrite (deepCopy $.Values.cell) .) -}}
{{- end -}}
{{- toYaml (dict "cells" $cells) -}}
{{- end -}}

{{- define "vwt.rayservice" -}}
{{- $cell := .cell -}}
{{- $redis := $cell.redis -}}
{{- $service := include "vwt.file" (merge (dict "file" "rayservice.yaml") .) | fromYaml -}}
{{- $_ := set $service.metadata "name" $cell.name -}}

{{- $serve := $service.spec.serveConfigV2 | fromYaml -}}
{{- $app := first $serve.applications -}}
{{- $address := $redis.external | default (printf "%s-redis:6379" $cell.name) -}}
{{- if and $redis.external $redis.secret -}}
{{- $_ := unset $app.args "redis" -}}
{{- else -}}
{{- $_ := set $app.args "redis" (printf "redis://%s/0" $address) -}}
{{- end -}}
{{- if not $cell.gpu.enabled -}}
{{- $_ := mergeOverwrite $app.args.inference (dict "num_cpus" 1 "num_gpus" 0) -}}
{{- end -}}
{{- $_ := set $app "args" (mergeOverwrite $app.args $cell.settings) -}}
{{- $_ := set $serve "applications" (list $app) -}}
{{- $_ := set $service.spec "serveConfigV2" (toYaml $serve) -}}

{{- $cluster := $service.spec.rayClusterConfig -}}
{{- $known := dict "redisAddress" $address -}}
{{- if and $redis.external $redis.secret -}}
{{- $_ := set $known "redisPassword" (dict "valueFrom" (dict "secretKeyRef" (dict "name" $redis.secret "key" "password"))) -}}
{{- end -}}
{{- $_ := set $cluster "gcsFaultToleranceOptions" $known -}}

{{- $groups := list -}}
{{- range $cluster.workerGroupSpecs -}}
{{- $asked := get $cell .groupName -}}
{{- if dig "enabled" true $asked -}}
{{- if hasKey $asked "min" -}}{{- $_ := set . "minReplicas" $asked.min -}}{{- $_ := set . "replicas" $asked.min -}}{{- end -}}
{{- if hasKey $asked "max" -}}{{- $_ := set . "maxReplicas" $asked.max -}}{{- end -}}
{{- if $asked.resources -}}{{- $_ := mergeOverwrite (first .template.spec.containers).resources $asked.resources -}}{{- end -}}
{{- if $asked.nodeSelector -}}{{- $_ := set .template.spec "nodeSelector" $asked.nodeSelector -}}{{- end -}}
{{- if $asked.tolerations -}}{{- $_ := set .template.spec "tolerations" (concat (.template.spec.tolerations | default list) $asked.tolerations) -}}{{- end -}}
{{- $groups = append $groups . -}}
{{- end -}}
{{- end -}}
{{- $_ := set $cluster "workerGroupSpecs" $groups -}}

{{- range prepend $groups $cluster.headGroupSpec -}}
{{- range .template.spec.containers -}}
{{- $_ := set . "image" (regexReplaceAll "^vwt-stream:.*-(cpu|cuda)$" .image (printf "%s:%s-${1}" $.root.Values.image.repository $.root.Values.image.tag)) -}}
{{- if and $redis.external $redis.secret -}}
{{- $from := dict "secretKeyRef" (dict "name" $redis.secret "key" "url") -}}
{{- $_ := set . "env" (append (.env | default list) (dict "name" "VWT_REDIS" "valueFrom" $from)) -}}
{{- end -}}
{{- end -}}
{{- range .template.spec.volumes -}}
{{- if eq .name "tokens" -}}{{- $_ := set .secret "secretName" $.root.Values.tokens.secret -}}{{- end -}}
{{- end -}}
{{- end -}}
{{ toYaml $service }}
{{- end -}}

{{- define "vwt.redis" -}}
{{- $redis := .cell.redis -}}
{{- $name := printf "%s-redis" .cell.name -}}
{{- range splitList "\n---\n" (include "vwt.file" (merge (dict "file" "redis.yaml") .)) -}}
{{- $one := fromYaml . -}}
{{- $_ := set $one.metadata "name" $name -}}
{{- if eq $one.kind "StatefulSet" -}}
{{- $_ := set $one.spec "serviceName" $name -}}
{{- $container := first $one.spec.template.spec.containers -}}
{{- if $redis.maxmemory -}}
{{- $args := list -}}
{{- $before := "" -}}
{{- range $container.args -}}
{{- $args = append $args (ternary $redis.maxmemory . (eq $before "--maxmemory")) -}}
{{- $before = . -}}
{{- end -}}
{{- $_ := set $container "args" $args -}}
{{- end -}}
{{- if $redis.memory -}}
{{- $_ := set $container.resources.requests "memory" $redis.memory -}}
{{- $_ := set $container.resources.limits "memory" $redis.memory -}}
{{- end -}}
{{- $claim := (first $one.spec.volumeClaimTemplates).spec -}}
{{- if $redis.storage -}}{{- $_ := set $claim.resources.requests "storage" $redis.storage -}}{{- end -}}
{{- if $redis.storageClassName -}}{{- $_ := set $claim "storageClassName" $redis.storageClassName -}}{{- end -}}
{{- end }}
---
{{ toYaml $one }}
{{- end -}}
{{- end -}}

{{/* Policies and the budget, under the cell's name. */}}
{{- define "vwt.around" -}}
{{- $cell := .cell -}}
{{- $all := printf "%s\n---\n%s" (include "vwt.file" (merge (dict "file" "network.yaml") .)) (include "vwt.file" (merge (dict "file" "disruption.yaml") .)) -}}
{{- range splitList "\n---\n" $all -}}
{{- $one := fromYaml . -}}
{{- if not (and $cell.redis.external (eq $one.metadata.name "vwt-redis")) -}}
{{- $_ := set $one.metadata "name" (printf "%s-%s" $cell.name (trimPrefix "vwt-" $one.metadata.name)) }}
---
{{ toYaml $one }}
{{- end -}}
{{- end -}}
{{- end -}}
