#!/usr/bin/env bash
# Fuzzes every target for a while: fuzz/run.sh [SECONDS-EACH]. Needs nightly and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo "fuzzing needs a nightly toolchain and cargo-fuzz: cargo install cargo-fuzz" >&2
  exit 1
fi
for target in $(cargo +nightly fuzz list); do
  echo "== $target"
  # What is found new stays out of the committed corpus.
  mkdir -p "fuzz/target/found/$target"
  cargo +nightly fuzz run "$target" "fuzz/target/found/$target" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=1024 -timeout=10
done
