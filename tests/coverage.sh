#!/usr/bin/env bash
# Which lines of engine, quant and models the tests run.
#
#   tests/coverage.sh [FILE]      a line for each crate; FILE gets a line for each source file and its lines that never ran
#
# The compiler's own counters (`-C instrument-coverage`) over every test of engine, quant, models and tests, in a target
# folder of their own, on one core: two threads that count the same lines on two cores wait for each other's memory all
# the time. What only the command line's tests run counts as not run: they train networks. Counted are lines that hold
# code, without test modules (from `#[cfg(test)]` on) and test files. Needs llvm-profdata and llvm-cov of a version that
# reads what rustc writes: those of `rustup component add llvm-tools`, or Debian's llvm-19 or newer. Where there are none
# it prints a line beginning `SKIPPED: ` and exits 0; COVERAGE_STRICT=1 makes that exit 1.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}" RUST_BACKTRACE=0
folder="$(pwd)/${CARGO_TARGET_DIR:-target}-coverage"
case "${CARGO_TARGET_DIR:-}" in /*) folder="$CARGO_TARGET_DIR-coverage" ;; esac
host="$(rustc -vV | sed -n 's/^host: //p')"

tools=""
for bin in "$(rustc --print sysroot)/lib/rustlib/$host/bin" $(ls -d /usr/lib/llvm-*/bin 2>/dev/null | sort -rV); do
    version="$("$bin/llvm-cov" --version 2>/dev/null | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p')" || continue
    [ "${version:-0}" -ge 19 ] && tools="$bin" && break
done
if [ -z "$tools" ]; then
    printf 'SKIPPED: coverage: no llvm-cov of version 19 or newer\n'
    exit "${COVERAGE_STRICT:-0}"
fi

rm -rf "$folder/counters"
mkdir -p "$folder/counters"
export RUSTFLAGS="-C instrument-coverage" CARGO_TARGET_DIR="$folder"
export LLVM_PROFILE_FILE="$folder/counters/%p-%4m.profraw"
packages=(-p engine -p quant -p models -p tests)
if command -v taskset >/dev/null; then
    variable="CARGO_TARGET_$(printf '%s' "$host" | tr 'a-z-' 'A-Z_')_RUNNER"
    export "$variable=taskset -c 0"
fi
# Every code of the network, computed by the plain reference too, takes too long under counters.
cargo test --locked "${packages[@]}" --lib --bins --tests --no-fail-fast -- \
    --skip the_engine_computes_every_code_of_the_specification >"$folder/tests.log" 2>&1 ||
    printf 'some tests failed under the counters: %s/tests.log\n' "$folder"
"$tools/llvm-profdata" merge -sparse -o "$folder/all.profdata" "$folder"/counters/*.profraw

objects=()
while read -r file; do
    objects+=(-object "$file")
done < <(LLVM_PROFILE_FILE=/dev/null cargo test --locked "${packages[@]}" --lib --bins --tests --no-run \
    --message-format json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
"$tools/llvm-cov" export --format lcov --instr-profile "$folder/all.profdata" "${objects[@]}" \
    --ignore-filename-regex '(/registry/|/rustc/|/target|/tests/|/tests\.rs$|/benches/)' >"$folder/lines.lcov"

awk -F '[:,]' -v root="$(pwd)/" -v details="${1:-/dev/null}" '
    # The first line of the test module.
    function cut(file,    n, line) {
        while ((getline line < file) > 0) {
            n++
            if (line ~ /^#\[cfg\(test\)\]/) { close(file); return n }
        }
        close(file)
        return 1e9
    }
    $1 == "SF" { file = $2; end = cut(file); sub(root, "", file); crate = file; sub(/\/.*/, "", crate) }
    $1 == "DA" && $2 < end {
        key = file ":" $2
        if (!(key in seen)) { seen[key] = 0; order[++count] = key; crates[key] = crate; files[key] = file }
        if ($3 > 0) seen[key] = 1
    }
    END {
        for (i = 1; i <= count; i++) {
            key = order[i]; crate = crates[key]; file = files[key]
            lines[crate]++; of[file]++
            if (seen[key]) run[crate]++
            else { line = key; sub(/.*:/, "", line); missed[file] = missed[file] " " line; gone[file]++ }
        }
        for (file in of) if (gone[file]) printf "%s: %d of %d lines never ran:%s\n", file, gone[file], of[file], missed[file] > details
        for (i = split("engine quant models", names, " "); i > 0; i--) {
            crate = names[i]
            printf "%-7s %6d of %6d lines, %.1f%%\n", crate, run[crate], lines[crate], 100 * run[crate] / (lines[crate] ? lines[crate] : 1)
        }
    }' "$folder/lines.lcov"
