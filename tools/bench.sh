#!/usr/bin/env bash
# Measures a release binary and writes the tables into docs/benchmarks.md. Usage: tools/bench.sh BINARY [NAME…]
# NAME: recovery, volumes, controller; all of them without one.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -lt 1 ]; then
  echo "usage: tools/bench.sh BINARY [recovery|volumes|controller]…" >&2
  exit 2
fi
LIFEBOAT_BENCH_BINARY=$(readlink -f "$1")
export LIFEBOAT_BENCH_BINARY
shift
[ $# -gt 0 ] || set -- recovery volumes controller
source tools/bench-page.sh

for name in "$@"; do
  echo "== $name"
  before=$(load)
  table=$(cargo bench --locked --quiet --package lifeboat --bench "$name")
  { facts "$before"; echo; echo "$table"; } | tee /dev/stderr | put "$name"
done
echo "written to $page"
