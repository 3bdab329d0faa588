#!/usr/bin/env bash
# Measures the simulator and writes its table into docs/benchmarks.md: tools/bench-sim.sh BENCH
# BENCH is the release example `bench` of crates/sim. `day` and `site` run on one core.
set -euo pipefail
bench=$1
docs=docs/benchmarks.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# measure NAME ARGUMENTS…: what it said, seconds of wall time and of processors, MiB at most.
measure() {
  local name=$1
  shift
  /usr/bin/time -f '%e %U %S %M' -o "$work/time" "$bench" "$@" >"$work/$name"
  read -r wall user system kib < <(tail -1 "$work/time")
  said=$(cat "$work/$name")
  processor=$(awk "BEGIN { printf \"%.0f\", $user + $system }")
  wall=$(awk "BEGIN { printf \"%.0f\", $wall }")
  mib=$((kib / 1024))
  echo "$name: $said; $wall s, $processor s of processors, $mib MiB" >&2
}

met() { if [ "$1" -le "$2" ]; then echo met; else echo "missed by $(($1 - $2)) s"; fi; }

load=$(cut -d' ' -f1-3 /proc/loadavg)
{
  echo "$(date -u +%F), $(nproc) cores, load before: $load, after: LOAD; lifeboat $("$bench" version)."
  echo
  echo "| world | what happened | seconds | at most | processors | memory | |"
  echo "| --- | --- | ---: | ---: | ---: | ---: | --- |"
  measure day day
  echo "| a day of 1,000 hosts and 10,000 VMs, a heartbeat a second, a host lost an hour | $said | $wall | 120 | $processor s | $mib MiB | $(met "$processor" 120) |"
  measure site site
  echo "| a site of 10,000 hosts and 100,000 VMs that loses 100 hosts | $said | $wall | 180 | $processor s | $mib MiB of 4096 | $(met "$processor" 180) |"
  measure seeds seeds 1000 2
  echo "| 1,000 stormy seeds of 5 hosts and 20 VMs, an hour each, on two cores | $said | $wall | 120 | $processor s | $mib MiB | $(met "$wall" 120) |"
} >"$work/table"
sed -i "s/after: LOAD/after: $(cut -d' ' -f1-3 /proc/loadavg)/" "$work/table"
cat "$work/table"
awk -v table="$work/table" '
  /<!-- sim: begin -->/ { print; while ((getline line < table) > 0) print line; skip = 1 }
  /<!-- sim: end -->/ { skip = 0 }
  !skip { print }' "$docs" >"$work/docs"
cp "$work/docs" "$docs"
