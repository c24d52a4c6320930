#!/usr/bin/env bash
# Lints the chart and renders it with every set of values in ci/; needs no cluster. HELM names the
# program, with the kit in KUBE_KIT that one's.
set -euo pipefail
cd "$(dirname "$0")/ambit"

read -ra helm <<<"${HELM:-${KUBE_KIT:+$KUBE_KIT/kube run }helm}"

for values in values.yaml ci/*.yaml; do
  "${helm[@]}" lint --strict --quiet -f "$values" .
  "${helm[@]}" template ambit . -n ambit-system -f "$values" >/dev/null
done
if "${helm[@]}" template ambit . --set mesh.egres=ALLOW_ANY >/dev/null 2>&1; then
  echo "chart: the schema lets an unknown value pass" >&2
  exit 1
fi
