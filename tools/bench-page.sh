# Sourced by the scripts that measure: the page of the figures, and what stands above each table.
# Needs LIFEBOAT_BENCH_BINARY, a `lifeboat`, whose version is told.
# shellcheck shell=bash
page=docs/benchmarks.md

load() { cut -d' ' -f1-3 /proc/loadavg; }

facts() { # load before
  local model memory
  model=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
  memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)
  echo "$(date -u +%Y-%m-%d), $(nproc) cores (${model:-unknown model}), $memory, Linux $(uname -r | cut -d- -f1);" \
    "load before: $1, after: $(load); lifeboat $("$LIFEBOAT_BENCH_BINARY" --version | awk '{ print $2 }')."
}

# Puts what comes in between the page's markers of this name.
put() { # name
  local text
  text=$(mktemp)
  cat >"$text"
  awk -v name="$1" -v text="$text" '
    $0 == "<!-- " name ": begin -->" { print; while ((getline line < text) > 0) print line; skip = 1; found = 1 }
    $0 == "<!-- " name ": end -->" { skip = 0 }
    !skip { print }
    END { if (!found) exit 1 }
  ' "$page" >"$text.page" || { echo "$page has no marker for $1" >&2; exit 1; }
  cat "$text.page" >"$page"
  rm -f "$text" "$text.page"
}
