#!/usr/bin/env bash
# Fuzzes targets for a while each: fuzz/run.sh [SECONDS-EACH [TARGET...]], all of them if none is named.
# Needs nightly and cargo-fuzz. All are run whatever is found; what was, lies in fuzz/artifacts/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo "fuzzing needs a nightly toolchain and cargo-fuzz: cargo install cargo-fuzz --locked" >&2
  exit 1
fi
# What is fuzzed is what is shipped: the same versions of everything.
cp Cargo.lock fuzz/Cargo.lock
# No sanitizer, as there is no unsafe code for it to watch. Not optimised: it is built in minutes in place of half an
# hour, and what overflows is found.
flags=(--dev --sanitizer none)
cargo +nightly fuzz build "${flags[@]}"
if [ $# = 0 ]; then
  # shellcheck disable=SC2046 # a list of words is what is meant
  set -- $(cargo +nightly fuzz list)
fi
told=
failed=0
for target in "$@"; do
  echo "== $target"
  # What is found new stays out of the committed corpus.
  found=fuzz/target/found/$target
  mkdir -p "$found"
  log=fuzz/target/found/$target.log
  # Words of a language are not found by chance.
  words=()
  if [ -e "fuzz/dictionaries/$target" ]; then
    words=("-dict=fuzz/dictionaries/$target")
  fi
  if cargo +nightly fuzz run "${flags[@]}" "$target" "$found" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=1024 -timeout=10 \
    -print_final_stats=1 "${words[@]}" >"$log" 2>&1; then
    result=ok
  else
    result="FAILED, see $log"
    failed=$((failed + 1))
    tail -n 40 "$log"
  fi
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  told+=$(printf '%-20s %12s  %s' "$target" "${executions:-?}" "$result")$'\n'
done
printf '\n%-20s %12s  result of %s s\n%s' target executions "$seconds" "$told"
[ "$failed" = 0 ]
