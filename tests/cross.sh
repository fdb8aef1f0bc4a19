#!/usr/bin/env bash
# Tests the kernels on processors this machine does not have, under QEMU's user-mode emulation.
#
#   tests/cross.sh [aarch64] [x86_64] [s390x] [wasm32]      default: aarch64 x86_64 wasm32
#
#   aarch64   cortex-a53 (NEON), neoverse-n1 (NEON with the dot product): cross-built
#   x86_64    Haswell (AVX2, no AVX-512), Nehalem (SSE only: the portable kernels): the native build, so that
#             what is tested is the choice among kernels at run time
#   s390x     a big-endian machine: cross-built; integers only, for QEMU computes floats wrong (see below)
#   wasm32    WebAssembly with simd128 in Node, which is no emulator but compiles it: the unit tests of the integer
#             kernels alone, because it has no files and no threads. Needs node and `rustup target add wasm32-wasip1`.
#
# Each processor runs the unit tests of `engine` and `quant` (every convolution and gradient, every integer kernel
# over ResNet-20's layers and random ones) and, of `tests/`, quant_integer, inference and the part of int_graph that
# compares every code. For each it is written below which integer kernels must have run and which one must have
# been chosen, so that a test that skips itself is an error here. Emulation proves results, never speed.
# CROSS_CHECKSUM=1 adds the checksums of 20 images by five networks (tests/checksum.rs), which take minutes.
#
# What is missing is installed where that is possible: QEMU and the cross linker through apt-get (needs root on
# Debian), the sources of std from `rustup component add rust-src` if that was done, else from Debian's rust-src of
# the very version of the installed rustc, looked for in the newer suites of the mirror this system is configured
# for. std is compiled from them by the installed rustc. A target that is installed is taken as it is.
#
# Prints a line beginning `SKIPPED: ` for each target that could not be prepared, and exits 0;
# CROSS_STRICT=1 makes that exit 1. CROSS_DIR (default ~/.cache/quantlab-cross) keeps what was fetched, a
# sibling of cargo's target folder what was built; the second run prepares nothing.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-never}"
export PROPTEST_RNG_SEED="${PROPTEST_RNG_SEED:-1}"
# Finding the names of a backtrace takes a minute under emulation, and some tests panic as they should.
export RUST_BACKTRACE=0
unset QUANT_ISA

cross_dir="${CROSS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/quantlab-cross}"
host="$(rustc -vV | sed -n 's/^host: //p')"
version="$(rustc -vV | sed -n 's/^release: //p')"
checksum=()
if [ -n "${CROSS_CHECKSUM:-}" ]; then
    checksum=(--test checksum)
fi
tests=(-p engine -p quant -p tests --lib --test quant_integer --test inference --test int_graph "${checksum[@]}")
# Files, refusals, statistics and threads are the same everywhere, and the speed of an emulation is none.
options=(--nocapture)
for test in a_damaged_file a_model_file the_float_simulation a_batch_gives_the_same_logits a_core_does_something \
    an_image_has_at_most_8_bits a_bias_beyond_32_bits the_courses_policy_has no_scale_of_a_fine_grid_is_better \
    constants_are_the_derived_ones the_scale_is_what_is_kept the_shift_of_the_mean; do
    options+=(--skip "$test")
done
skipped=0
mkdir -p "$cross_dir"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

say() { printf -- '--- %s\n' "$*"; }

skip() {
    printf 'SKIPPED: %s\n' "$*"
    skipped=$((skipped + 1))
}

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# quietly COMMAND...: its output only if it fails.
quietly() { "$@" >"$log" 2>&1 || { cat "$log" >&2; return 1; }; }

# first COMMAND...: the first of these commands that exists.
first() {
    local name
    for name in "$@"; do
        command -v "$name" && return 0
    done
    return 1
}

# packages TARGET COMMAND PACKAGE...: whether COMMAND exists, after installing PACKAGEs if that is needed.
packages() {
    local target="$1" wanted="$2"
    shift 2
    command -v "$wanted" >/dev/null && return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        skip "$target: $wanted is not installed (Debian: apt-get install $*)"
        return 1
    fi
    say "installing $*"
    if quietly apt-get update -qq &&
        quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" &&
        command -v "$wanted" >/dev/null; then
        return 0
    fi
    skip "$target: apt-get could not install $*"
    return 1
}

# The configured source of the system's own release, with newer suites in place of it.
newer_sources() {
    local release suites="stable-backports testing unstable"
    release="$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")"
    [ -n "$release" ] || return 1
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v release="$release" -v suites="$suites" '
        function flush() { if (ours) printf "%s\n", stanza; stanza = ""; ours = 0 }
        /^#/ { next }
        NF == 0 { flush(); next }
        /^Suites:/ { for (i = 2; i <= NF; i++) if ($i == release) ours = 1; $0 = "Suites: " suites }
        { stanza = stanza $0 "\n" }
        END { flush() }'
}

# The sources of std that belong to rustc, fetched if need be: prints their folder.
std_sources() {
    local folder apt package
    folder="$(rustc --print sysroot)/lib/rustlib/src/rust/library"
    if [ ! -f "$folder/Cargo.lock" ]; then
        folder="$cross_dir/rust-src/usr/src/rustc-$version/library"
    fi
    if [ ! -f "$folder/Cargo.lock" ]; then
        [ "$(id -u)" -eq 0 ] && command -v apt-get dpkg >/dev/null || return 1
        # An apt of its own, that sees the newer suites; the system's stays as it is.
        apt="$cross_dir/apt"
        mkdir -p "$apt"/{lists/partial,cache/archives/partial,sources,preferences}
        newer_sources >"$apt/sources/newer.sources"
        cat >"$apt/apt.conf" <<CONF
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$apt/sources";
Dir::Etc::PreferencesParts "$apt/preferences";
APT::Sandbox::User "root";
CONF
        export APT_CONFIG="$apt/apt.conf"
        apt-get update -qq >"$log" 2>&1 || return 1
        package="$(apt-cache madison rust-src | awk -v v="$version+" 'index($3, v) == 1 { print $3; exit }')"
        [ -n "$package" ] || return 1
        (cd "$apt" && apt-get download -qq "rust-src=$package" && dpkg -x rust-src_*.deb "$cross_dir/rust-src") \
            >"$log" 2>&1 || return 1
        unset APT_CONFIG
        rm -rf "$apt"
    fi
    [ -f "$folder/Cargo.lock" ] && printf '%s' "$folder"
}

# emulate WHAT CHOSEN RAN COMMAND...: runs the tests by COMMAND, and checks that the integer kernels RAN and no
# others did, and that CHOSEN was preferred.
emulate() {
    local what="$1" chosen="$2" ran="$3" start=$SECONDS got
    shift 3
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        fail "$what"
    fi
    got="$(sed -n 's/.*integer kernel \([a-z0-9_]*\): exact.*/\1/p' "$log" | sort | paste -sd ' ')"
    [ "$got" = "$ran" ] || fail "$what: tested the integer kernels \`$got\`, not \`$ran\`"
    got="$(sed -n 's/.*integer kernel chosen: \([a-z0-9_]*\).*/\1/p' "$log")"
    [ "$got" = "$chosen" ] || fail "$what: chose \`$got\`, not \`$chosen\`"
    say "$what: $(awk '/^test result: ok/ { n += $4 } END { print n }' "$log") tests passed," \
        "integer kernels $ran, chosen $chosen, $((SECONDS - start)) s"
}

# cross ARCH QEMU-NAMES PACKAGES, then for each processor CPU CHOSEN RAN.
cross() {
    local arch="$1" target="$1-unknown-linux-gnu" linker="$1-linux-gnu-gcc" qemu sources variable folder
    local build=(cargo test --locked "${tests[@]}" --target "$target")
    packages "$arch" "qemu-$arch-static" qemu-user-static || return 0
    qemu="qemu-$arch-static"
    packages "$arch" "$linker" "gcc-$arch-linux-gnu" "$2" || return 0
    shift 2
    variable="CARGO_TARGET_$(printf '%s' "$target" | tr 'a-z-' 'A-Z_')"
    export "${variable}_LINKER=$linker"
    folder="${CARGO_TARGET_DIR:-target}-cross"
    if ! compgen -G "$(rustc --print target-libdir --target "$target")/libstd-*.rlib" >/dev/null; then
        if ! sources="$(std_sources)"; then
            skip "$arch: no std for $target and no sources of std $version (rustup target add $target)"
            return 0
        fi
        # -Z options are for nightly; with the very sources of this rustc they serve the stable one as well.
        export RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT="$sources"
        build+=(-Zbuild-std)
        if ! quietly cargo fetch --locked -Zbuild-std --target "$target"; then
            skip "$arch: what std depends on could not be fetched"
            return 0
        fi
    fi
    say "$arch: building for $target"
    quietly env CARGO_TARGET_DIR="$folder" "${build[@]}" --no-run || fail "$arch does not build"
    while [ $# -gt 0 ]; do
        emulate "$arch $1" "$2" "$3" \
            env CARGO_TARGET_DIR="$folder" "${variable}_RUNNER=$qemu -cpu $1 -L /usr/$arch-linux-gnu" \
            "${build[@]}" -- "${options[@]}"
        shift 3
    done
    unset RUSTC_BOOTSTRAP __CARGO_TESTS_ONLY_SRC_ROOT
}

aarch64() {
    cross aarch64 libc6-dev-arm64-cross \
        cortex-a53 neon "neon scalar" \
        neoverse-n1 neondot "neon neondot scalar"
}

# QEMU 7.2 computes MDEBR, the product of two f32 in f64, wrong: in assembler, 1.5 by -0.5 is -0.0625 to it, and -0.75 if
# both are lengthened first (LDEBR, MDBR). rustc uses it where such products are summed: in the definitions that `engine` is
# held to, and in these five tests of `quant`. Everything that computes in integers is tested.
s390x() {
    local tests=(-p quant -p tests --lib --test quant_integer --test int_graph "${checksum[@]}") test
    local options=("${options[@]}")
    for test in following_the_gradient_lowers_the_error_of_rounding a_share_of_the_steps_has_the_finer_grid \
        a_width_falls_by_its_price an_outlier_takes_nothing quantized_layers_approximate_the_real_ones; do
        options+=(--skip "$test")
    done
    cross s390x libc6-dev-s390x-cross max scalar scalar
}

x86_64() {
    local qemu=qemu-x86_64-static
    local off="pcid=off,x2apic=off,tsc-deadline=off,invpcid=off,hle=off,rtm=off"
    if [ "$host" != x86_64-unknown-linux-gnu ]; then
        skip "x86_64: the native build is for $host"
        return 0
    fi
    packages x86_64 "$qemu" qemu-user-static || return 0
    if ! "$qemu" --version | awk 'NR == 1 { split($3, v, "."); exit !(v[1] > 7 || v[1] == 7 && v[2] >= 2) }'; then
        skip "x86_64: AVX2 needs QEMU 7.2, this is $("$qemu" --version | head -1)"
        return 0
    fi
    say "x86_64: building"
    # What `cargo test --workspace` builds, so that there is nothing to build after it.
    quietly cargo test --workspace --locked --no-run || fail "x86_64 does not build"
    local programs
    programs="$(sed -n 's/.*Executable .*(\(.*\))$/\1/p' "$log" |
        grep -E "/(engine|quant|quant_integer|int_graph|inference${CROSS_CHECKSUM:+|checksum})-[0-9a-f]+\$")"
    # What AVX2 computes in floats is tested natively where this processor has it; emulated, it takes minutes.
    local usual=("${options[@]}")
    if grep -qw avx2 /proc/cpuinfo; then
        options+=(--skip fused_equals_composed --skip every_algorithm_equals)
    fi
    # shellcheck disable=SC2086
    emulate "x86_64 Haswell" avx2 "avx2 avx2_w4 avx2_w7 scalar" under "$qemu -cpu Haswell,$off" $programs
    options=("${usual[@]}")
    # shellcheck disable=SC2086
    emulate "x86_64 Nehalem" scalar scalar under "$qemu -cpu Nehalem" $programs
}

# under EMULATOR PROGRAM...: runs each test program by it, in the folder that cargo would run it in.
under() {
    local emulator="$1" program folder
    shift
    for program in "$@"; do
        case "$(basename "$program")" in
            engine-*) folder=engine ;;
            quant-*) folder=quant ;;
            *) folder=tests ;;
        esac
        # shellcheck disable=SC2086
        (cd "$folder" && $emulator "$(cd .. && realpath "$program")" "${options[@]}") || return 1
    done
}

wasm32() {
    local target=wasm32-wasip1
    local build=(cargo test --locked -p quant --lib --target "$target") variable=CARGO_TARGET_WASM32_WASIP1
    if ! command -v node >/dev/null; then
        skip "wasm32: node is not installed"
        return 0
    fi
    if ! compgen -G "$(rustc --print target-libdir --target "$target")/libstd-*.rlib" >/dev/null; then
        skip "wasm32: no std for $target (rustup target add $target)"
        return 0
    fi
    say "wasm32: building for $target"
    export "${variable}_RUSTFLAGS=-Ctarget-feature=+simd128" "${variable}_RUNNER=node --no-warnings $PWD/tests/wasi.mjs"
    quietly env CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}-cross" "${build[@]}" --no-run || fail "wasm32 does not build"
    emulate "wasm32 node $(node --version)" simd128 "scalar simd128" \
        env CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}-cross" "${build[@]}" -- kernel "${options[@]}"
}

[ $# -gt 0 ] || set -- aarch64 x86_64 wasm32
for target in "$@"; do
    case "$target" in
        aarch64 | x86_64 | s390x | wasm32) "$target" ;;
        *) printf 'usage: tests/cross.sh [aarch64] [x86_64] [s390x] [wasm32]\n' >&2; exit 2 ;;
    esac
done
if [ "$skipped" -gt 0 ] && [ "${CROSS_STRICT:-0}" = 1 ]; then
    fail "$skipped skipped and CROSS_STRICT=1"
fi
