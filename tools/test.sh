#!/usr/bin/env bash
# The whole test suite. Needs what tools/install-deps.sh installs; root for the tests that make hosts.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --locked --workspace --cargo-profile ci --no-fail-fast
else
  echo "cargo-nextest is not installed; running with cargo test (slower: cargo install --locked cargo-nextest)"
  cargo test --locked --workspace --profile ci --no-fail-fast
fi
cargo test --locked --workspace --profile ci --doc --quiet
