#!/usr/bin/env bash
# The suites of engine, quant, models and tests under sanitizers.
#
#   tests/sanitize.sh [address] [thread]      default: both
#
#   address   AddressSanitizer: reads and writes outside of what was allocated, or after it was given back
#   thread    ThreadSanitizer: two threads at one place without an order between them; std is compiled with it too. Of the
#             cross-crate tests those that compute with several threads
#
# Both are of the installed compiler, with RUSTC_BOOTSTRAP=1; ThreadSanitizer needs the sources of std: those of
# `rustup component add rust-src`, or those that tests/cross.sh has fetched. Prints a line beginning `SKIPPED: ` for what
# cannot run here and exits 0; SANITIZE_STRICT=1 makes that exit 1. Takes an hour on two cores.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}" PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-1}"
# Not the names of a backtrace: some tests panic as they should.
export RUST_BACKTRACE=0 RUSTC_BOOTSTRAP=1
unset QUANT_ISA

cross_dir="${CROSS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/quantlab-cross}"
host="$(rustc -vV | sed -n 's/^host: //p')"
version="$(rustc -vV | sed -n 's/^release: //p')"
skipped=0
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

# The sources of std that belong to rustc: prints their folder.
std_sources() {
    local folder
    for folder in "$(rustc --print sysroot)/lib/rustlib/src/rust" "$cross_dir/rust-src/usr/src/rustc-$version"; do
        [ -f "$folder/library/Cargo.lock" ] && printf '%s' "$folder/library" && return 0
    done
    return 1
}

skip() {
    printf 'SKIPPED: %s\n' "$*"
    skipped=$((skipped + 1))
}

# run NAME CARGO-OPTIONS...: builds and runs tests with that sanitizer, and says how many passed.
run() {
    local name="$1" start=$SECONDS
    shift
    printf -- '--- %s: building\n' "$name"
    local cargo=(cargo test --locked --target "$host" --target-dir "${CARGO_TARGET_DIR:-target}-$name")
    # rustix calls the kernel by itself unless told: then a sanitizer does not see that a page was given back.
    export RUSTFLAGS="-Zsanitizer=$name --cfg=rustix_use_libc"
    if ! "${cargo[@]}" "$@" --no-run >"$log" 2>&1; then
        cat "$log" >&2
        printf 'FAILED: %s does not build\n' "$name" >&2
        exit 1
    fi
    # Every code of the network, computed by the plain reference too, takes too long.
    if ! "${cargo[@]}" "$@" -- --nocapture --skip the_engine_computes_every_code_of_the_specification >"$log" 2>&1; then
        grep -aE '^(ERROR|WARNING|SUMMARY)|==[0-9]+==|FAILED|panicked' -A12 "$log" | head -80 >&2
        printf 'FAILED: %s\n' "$name" >&2
        exit 1
    fi
    unset RUSTFLAGS
    printf -- '--- %s: %s tests passed, %s s\n' "$name" \
        "$(awk '/^test result: ok/ { n += $4 } END { print n }' "$log")" $((SECONDS - start))
}

address() {
    # What the threads of a pool hold when the process ends is no leak.
    ASAN_OPTIONS="detect_leaks=0:${ASAN_OPTIONS:-}" run address \
        -p engine -p quant -p models -p tests --lib --tests
}

thread() {
    local sources
    if ! sources="$(std_sources)"; then
        skip "thread: no sources of std $version (rustup component add rust-src)"
        return 0
    fi
    export __CARGO_TESTS_ONLY_SRC_ROOT="$sources"
    if ! cargo fetch --locked -Zbuild-std --target "$host" >"$log" 2>&1; then
        skip "thread: what std depends on could not be fetched"
        return 0
    fi
    TSAN_OPTIONS="suppressions=$(pwd)/tests/thread.supp:${TSAN_OPTIONS:-}" run thread -Zbuild-std \
        -p engine -p quant -p tests --no-default-features --lib --test checksum --test determinism --test inference \
        --test int_graph --test quant_integer --test quant_fused
    unset __CARGO_TESTS_ONLY_SRC_ROOT
}

case "$host" in
    x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) ;;
    *) skip "no sanitizers for $host"; set -- none ;;
esac
[ $# -gt 0 ] || set -- address thread
for sanitizer in "$@"; do
    case "$sanitizer" in
        address | thread) "$sanitizer" ;;
        none) ;;
        *) printf 'usage: tests/sanitize.sh [address] [thread]\n' >&2; exit 2 ;;
    esac
done
if [ "$skipped" -gt 0 ] && [ "${SANITIZE_STRICT:-0}" = 1 ]; then
    exit 1
fi
