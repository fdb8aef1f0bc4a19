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
# quarter, `-- --iterate` what the last time has not caught.
#
# The first three groups need nothing else of `quant`. They are copied into a small crate of that name with their tests, which
# takes one to five seconds a change; the last works on a copy of what git has, about 10 s for each change on one core.
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

# Little is optimized: building takes longer than testing. What a property test found need not be made small,
# and it is given 64 cases where it does not say how many; a change that no test sees deserves more: PROPTEST_CASES=256.
export CARGO_TARGET_DIR="$folder/build" CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0
export PROPTEST_RNG_SEED=1 PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_CASES="${PROPTEST_CASES:-64}"
export NETWORKS="${NETWORKS:-20}"

# small_crate: `quant` with the modules of the first three groups only, and the tests of `tests` that use no others.
small_crate() {
    local crate="$folder/small"
    rm -rf "$crate/src" "$crate/tests"
    mkdir -p "$crate/src" "$crate/tests"
    cp -r quant/src/{numbers,observer,scale,requantize.rs} "$crate/src"
    # In the order in which cargo runs them: the quick ones first.
    cp tests/tests/quant_uniform.rs "$crate/tests/first_uniform.rs"
    cp tests/tests/quant_scale.rs "$crate/tests/then_scale.rs"
    cp Cargo.lock "$crate"
    cat >"$crate/src/lib.rs" <<'END'
pub mod numbers;
pub mod observer;
pub mod requantize;
pub mod scale;
pub use engine::{Error, Result};
pub use numbers::entry::*;
pub use numbers::int_tensor::{Code, IntTensor};
pub use numbers::uniform::{Granularity, Grid, QParams};
pub use observer::{Histogram, MinMax, MovingAverage, Observer, Range};
pub use scale::ScaleRule;
END
    cat >"$crate/Cargo.toml" <<END
[package]
name = "quant"
version = "0.1.0"
edition = "2024"
[dependencies]
engine = { path = "$(pwd)/engine" }
bytemuck = "1"
rayon = "1"
serde = { version = "1", features = ["derive"] }
thiserror = "2"
[dev-dependencies]
proptest = { version = "1.9", default-features = false, features = ["std"] }
serde_json = "1"
[workspace]
END
    printf '%s' "$crate"
}

# small GROUP FILES TARGET...: the changes of these files in the small crate, and the tests that are to see them.
small() {
    local group="$1" files="$2" crate
    shift 2
    crate="$(small_crate)"
    mkdir -p "$folder/$group"
    (cd "$crate" && cargo-mutants mutants --in-place --file "$files" --output "$folder/$group" --minimum-test-timeout 60 \
        --colors never --no-times "${options[@]}" -- "$@") || [ $? -le 3 ] || exit 1
}

# run GROUP FILE... -- TARGET...: the changes of these files, and the tests that are to see them.
run() {
    local group="$1" files=() targets=() copy
    shift
    while [ "$1" != -- ]; do
        files+=(--file "$1")
        shift
    done
    shift
    for target in "$@"; do
        targets+=(--cargo-arg="$target")
    done
    # The copy stays for the next run, with what is built of it.
    copy="$folder/copy"
    mkdir -p "$copy" "$folder/$group"
    git ls-files -z | xargs -0 cp --parents -t "$copy"
    (cd "$copy" && cargo-mutants mutants --in-place --package quant "${files[@]}" --no-default-features \
        --cargo-arg=--package=tests "${targets[@]}" --output "$folder/$group" --minimum-test-timeout 60 \
        --colors never --no-times "${options[@]}" -- -- --skip kernel::tests) || [ $? -le 3 ] || exit 1
}

options=("$@")
for group in "${groups[@]}"; do
    printf -- '--- %s\n' "$group"
    case "$group" in
        # Without the four tests of optimal scales that take ten seconds: they have not been needed here.
        numbers)
            small numbers 'src/numbers/*.rs' --lib --test first_uniform --test then_scale -- --skip the_optimum \
                --skip the_heuristic_is --skip every_rule_is_positive --skip a_large_sample
            ;;
        scale) small scale 'src/scale/*.rs' --lib --test then_scale ;;
        requantize) small requantize src/requantize.rs --lib ;;
        network) run network quant/src/int_graph/validate.rs quant/src/int_graph/lower.rs \
            quant/src/int_graph/lower/source.rs -- --test=int_graph_rules --test=int_graph --test=dropped \
            --test=quant_network --test=seeds ;;
    esac
done
