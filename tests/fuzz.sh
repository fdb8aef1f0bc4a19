#!/usr/bin/env bash
# Looks for bytes that make a reader panic, or engine and reference disagree: libFuzzer, guided by coverage, over the
# functions of tests/src/fuzzed, with AddressSanitizer and with every check of the compiler on.
#
#   tests/fuzz.sh [TARGET...]           default: all, which are the files in tests/fuzz/fuzz_targets
#   FUZZ_SECONDS=180 tests/fuzz.sh      so long each, after the build; 30 by default
#
# Needs Linux on x86_64 or aarch64, a C++ compiler, and the crates of tests/fuzz/Cargo.lock. Where one is missing it
# prints a line beginning `SKIPPED: ` and exits 0; FUZZ_STRICT=1 makes that exit 1.
#
# A line for each target: executions, edges covered, inputs kept, findings. What it keeps is in the folder corpus of a
# sibling of cargo's target folder, and the next run goes on from there; what it finds is in findings beside it, and the
# exit code is 1. A finding is mended, and its bytes added to tests/fuzz/seeds/TARGET, which every test runs
# (tests/tests/seeds.rs).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
seconds="${FUZZ_SECONDS:-30}"
folder="$(pwd)/${CARGO_TARGET_DIR:-target}-fuzz"
case "${CARGO_TARGET_DIR:-}" in /*) folder="$CARGO_TARGET_DIR-fuzz" ;; esac
host="$(rustc -vV | sed -n 's/^host: //p')"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

skip() {
    printf 'SKIPPED: %s\n' "$*"
    [ "${FUZZ_STRICT:-0}" = 1 ] && exit 1
    exit 0
}

case "$host" in
    x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) ;;
    *) skip "fuzzing: no sanitizers for $host" ;;
esac
command -v "${CXX:-c++}" >/dev/null || skip "fuzzing: no C++ compiler (${CXX:-c++}) to build libFuzzer with"
# `-Z` and the passes are for nightly; the stable compiler has them too.
export RUSTC_BOOTSTRAP=1
if ! cargo fetch --locked --manifest-path tests/fuzz/Cargo.toml --target "$host" >"$log" 2>&1; then
    skip "fuzzing: its crates could not be fetched ($(tail -1 "$log"))"
fi

flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address"
printf -- '--- building\n'
if ! RUSTFLAGS="$flags" cargo build --release --locked --manifest-path tests/fuzz/Cargo.toml --bins \
    --target "$host" --target-dir "$folder" >"$log" 2>&1; then
    cat "$log" >&2
    printf 'FAILED: the targets do not build\n' >&2
    exit 1
fi

if [ $# -eq 0 ]; then
    for source in tests/fuzz/fuzz_targets/*.rs; do
        set -- "$@" "$(basename "$source" .rs)"
    done
fi
# Small files are read through a memory map: in memory, where there is such a folder.
[ -d /dev/shm ] && [ -w /dev/shm ] && export TMPDIR=/dev/shm
export ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}" RAYON_NUM_THREADS=1
failed=0
for target in "$@"; do
    corpus="$folder/corpus/$target" found="$folder/findings/$target"
    mkdir -p "$corpus" "$found"
    # One allocation of 200 MB is one too many for a file of 64 KiB.
    options=(-max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=3000 -malloc_limit_mb=200)
    status=0
    "$folder/$host/release/$target" "${options[@]}" -print_final_stats=1 -artifact_prefix="$found/" \
        "$corpus" "tests/fuzz/seeds/$target" >"$log" 2>&1 || status=$?
    executions="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
    edges="$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)"
    printf '%-16s %9s executions in %s s, %6s edges, %5s inputs kept, %s\n' "$target" "${executions:-?}" "$seconds" \
        "${edges:-?}" "$(find "$corpus" -type f | wc -l)" "$([ "$status" -eq 0 ] && echo 'no findings' || echo FINDING)"
    if [ "$status" -ne 0 ]; then
        failed=1
        grep -aE "panicked|ERROR|SUMMARY|assert|limit" -A2 "$log" | head -20 >&2
        grep -a "Test unit written" "$log" >&2 || tail -20 "$log" >&2
    fi
done
exit "$failed"
