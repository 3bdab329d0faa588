#!/usr/bin/env bash
# Measures liveness and writes its tables into docs/benchmarks.md. Usage: tools/bench-liveness.sh BINARY CALM [PART…]
# BINARY is a release `lifeboat`, CALM the release example `calm` of crates/sim. PART: lab, beats, calm; all without one.
# The part `calm` takes CALM_DAYS host-days (1000 unless set) at default settings, and a twentieth of them for each other delay.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -lt 2 ]; then
  echo "usage: tools/bench-liveness.sh BINARY CALM [lab|beats|calm]…" >&2
  exit 2
fi
LIFEBOAT_BENCH_BINARY=$(readlink -f "$1")
export LIFEBOAT_BENCH_BINARY
calm=$(readlink -f "$2")
shift 2
[ $# -gt 0 ] || set -- lab beats calm
source tools/bench-page.sh
days=${CALM_DAYS:-1000}

# One row: host-days, delay in ms, loss in percent, longest pause in ms.
calm_row() {
  local events pauses asked declared fenced
  read -r events pauses asked declared fenced < <("$calm" "$@")
  echo "calm $*: $events events, $asked asked, $declared declared, $fenced fenced" >&2
  echo "| $(awk "BEGIN { print $2 / 1000 }") s | $3 % | $(awk "BEGIN { print $4 / 1000 }") s | $1 | $pauses | $asked | $declared | $fenced | $(awk "BEGIN { printf \"%.3g\", $fenced * 1000 / $1 }") |"
}

calm_table() {
  local few=$((days / 20))
  echo "| counts as lost after | loss | pauses up to | host-days | pauses | asked directly | declared failed | fenced | fenced in 1,000 host-days |"
  echo "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
  for delay in 1500 2000 2250 2500 2750; do calm_row "$few" "$delay" 5 2000; done
  calm_row "$days" 3000 5 2000
  for delay in 3500 5000; do calm_row "$few" "$delay" 5 2000; done
  calm_row "$few" 3000 0 2000
  calm_row "$few" 3000 5 0
}

for part in "$@"; do
  echo "== $part"
  before=$(load)
  case $part in
    lab | beats) table=$(cargo bench --locked --quiet --package lifeboat --bench liveness -- "$part") ;;
    calm) table=$(calm_table) ;;
    *) echo "there is no part $part: lab, beats, calm" >&2; exit 2 ;;
  esac
  { facts "$before"; echo; echo "$table"; } | tee /dev/stderr | put "liveness $part"
done
echo "written to $page"
