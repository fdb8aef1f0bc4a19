#!/usr/bin/env bash
# Wrong programs, made from the right one by a change each, and whether a test sees it.
#
#   tests/mutants.sh [GROUP...] [-- CARGO-MUTANTS-OPTIONS...]      default: all groups
#
#   numbers      rounding to codes and back (eqs 1 and 2), the table of levels
#   scale        every rule that chooses a scale
#   requantize   integers to integers (eq 7)
#   network      lowering to an integer network, and its validation
#
# cargo-mutants puts another operator, a constant or nothing in the place of each expression and function of these files,
# one at a time, and runs the tests of the group. A line for each change that no test sees; the lists of all are in the
# folder mutants/GROUP beside cargo's target folder. Options behind `--` are for cargo-mutants: `-- --shard 0/4` takes a
# quarter, `-- --iterate` what the last time has not caught. Works on a copy of what git has, about 10 s
# for each change on one core.
#
# Prints a line beginning `SKIPPED: ` where cargo-mutants is missing (`cargo install cargo-mutants`) and exits 0.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
if ! command -v cargo-mutants >/dev/null; then
    printf 'SKIPPED: mutants: no cargo-mutants (cargo install cargo-mutants)\n'
    exit 0
fi
folder="$(pwd)/${CARGO_TARGET_DIR:-target}-mutants"
case "${CARGO_TARGET_DIR:-}" in /*) folder="$CARGO_TARGET_DIR-mutants" ;; esac

groups=()
while [ $# -gt 0 ]; do
    case "$1" in
        numbers | scale | requantize | network) groups+=("$1") ;;
        --) shift; break ;;
        *) printf 'usage: tests/mutants.sh [numbers|scale|requantize|network...] [-- OPTIONS...]\n' >&2; exit 2 ;;
    esac
    shift
done
[ "${#groups[@]}" -gt 0 ] || groups=(numbers scale requantize network)

# The copy stays for the next run, with what is built of it.
copy="$folder/copy"
mkdir -p "$copy"
git ls-files -z | xargs -0 cp --parents -t "$copy"
# Building takes longer than testing: little is optimized, and what a change in `quant` does not need is left out.
export CARGO_TARGET_DIR="$folder/build" CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0 PROPTEST_RNG_SEED=1
export NETWORKS="${NETWORKS:-20}"

# run GROUP FILE... -- TARGET...: the changes of these files, and the tests that are to see them.
run() {
    local group="$1" files=() targets=()
    shift
    while [ "$1" != -- ]; do
        files+=(--file "$1")
        shift
    done
    shift
    for target in "$@"; do
        targets+=(--cargo-arg="$target")
    done
    mkdir -p "$folder/$group"
    (cd "$copy" && cargo-mutants mutants --in-place --package quant "${files[@]}" --no-default-features \
        --cargo-arg=--package=tests "${targets[@]}" --output "$folder/$group" --minimum-test-timeout 60 \
        --colors never --no-times "${options[@]}" -- -- --skip kernel::tests) || [ $? -le 3 ] || exit 1
}

options=("$@")
for group in "${groups[@]}"; do
    printf -- '--- %s\n' "$group"
    case "$group" in
        numbers) run numbers 'quant/src/numbers/*.rs' -- --test=quant_uniform --test=quant_observer --test=quant_scale ;;
        scale) run scale 'quant/src/scale/*.rs' -- --lib --test=quant_scale --test=quant_observer ;;
        requantize) run requantize quant/src/requantize.rs -- --lib --test=int_graph ;;
        network) run network quant/src/int_graph/validate.rs quant/src/int_graph/lower.rs \
            quant/src/int_graph/lower/source.rs -- --test=int_graph_rules --test=int_graph --test=dropped \
            --test=quant_network --test=seeds ;;
    esac
done
