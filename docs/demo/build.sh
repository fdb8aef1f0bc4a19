#!/usr/bin/env bash
# Makes the data of the page again.
#
#   docs/demo/build.sh engine          data/engine.js: the module, built for wasm32 with simd128
#   docs/demo/build.sh pictures        data/pictures.js: two test images of each class, from the bundled slice
#   docs/demo/build.sh ptq DATA DIR    the nine networks in DIR, from the full CIFAR-10 in DATA (ITERATIONS=40 of each block)
#   docs/demo/build.sh networks DIR    data/W*A*.js and data/networks.js, of those
#
# The first needs the target: rustup target add wasm32-unknown-unknown. All bytes are in base64 inside scripts, networks
# compressed by gzip, so that the page also works without a server.
set -euo pipefail
export LC_ALL=C
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
data="$root/docs/demo/data"
names=(W2A2 W2A4 W2A8 W4A2 W4A4 W4A8 W8A2 W8A4 W8A8)

# script NAME: a script that keeps the bytes of stdin as base64 under this name.
script() {
    { printf '(globalThis.demoData ??= {}).%s = "' "$1"; base64 | tr -d '\n'; printf '";\n'; } >"$data/$1.js.partial"
    mv "$data/$1.js.partial" "$data/$1.js"
}

engine() {
    local folder="${CARGO_TARGET_DIR:-$root/target}-wasm" flags="-Ctarget-feature=+simd128" path
    # One set of instructions, and no path of this machine in the messages.
    for path in "$root" "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
        flags+=" --remap-path-prefix=$path=."
    done
    RUSTFLAGS="$flags" \
        CARGO_TARGET_DIR="$folder" cargo rustc --locked --manifest-path "$root/Cargo.toml" -p demo --lib --crate-type cdylib \
        --profile wasm --target wasm32-unknown-unknown
    if [ "${1:-}" = --only ]; then
        return
    fi
    script engine <"$folder/wasm32-unknown-unknown/wasm/demo.wasm"
    # Another compiler makes other bytes of the same sources: the test that looks for stale ones asks.
    printf '// %s\n' "$(rustc --version)" >>"$data/engine.js"
}

# Records of CIFAR-10, a label and 3072 bytes, of the slice's test images.
pictures() {
    local batch="$root/models/assets/cifar10-slice/test_batch.bin" label record
    for label in 0 1 2 3 4 5 6 7 8 9; do
        # The slice is in order of its choice, not of classes: the first two of each.
        od -An -v -tu1 -w3073 "$batch" | awk -v label="$label" '$1 == label && n < 2 { print NR - 1; n++ }' |
            while read -r record; do dd if="$batch" bs=3073 skip="$record" count=1 status=none; done
    done | script pictures
}

# Two bits anywhere: each block is reconstructed from 1,024 images without labels. Four bits: channels are balanced and
# batch norms estimated anew. Eight bits need nothing.
ptq() {
    local from name more iterations="${ITERATIONS:-40}"
    from="$(cd "$1" && pwd)"
    mkdir -p "$2"
    ln -sfn "$from" "$2/cifar10"
    cargo build --release --manifest-path "$root/Cargo.toml" -p cli
    for name in "${names[@]}"; do
        more=()
        case "$name" in
            *2*) more=(--method heuristic --calibration-images 1024 --correction balance,batch_norm,adaquant --iterations "$iterations") ;;
            W4*) more=(--method heuristic --calibration-images 1024 --correction balance,batch_norm) ;;
        esac
        (cd "$2" && "$root/target/release/cli" ptq --json --policy product --bits "$name" "${more[@]}" --data cifar10 \
            --out "$name" >"$name.json")
    done
}

# The accuracy is what `ptq` measured and wrote beside the network.
networks() {
    local from="$1" name file
    for name in "${names[@]}"; do
        gzip -9nc "$from/$name/ResNet20_$name.safetensors" | script "$name"
    done
    {
        printf '(globalThis.demoData ??= {}).networks = {\n'
        for name in "${names[@]}"; do
            file="$from/$name/ResNet20_$name.safetensors"
            printf '  %s: { top1: %s, bytes: %s },\n' "$name" \
                "$(grep -o '"top1_int": *[0-9.]*' "$from/$name.json" | grep -o '[0-9.]*$')" "$(wc -c <"$file" | tr -d ' ')"
        done
        printf '};\n'
    } >"$data/networks.js"
}

case "${1:-}" in
    engine) engine "${2:-}" ;;
    pictures) pictures ;;
    ptq) ptq "${2:?the folder of CIFAR-10}" "${3:?the folder to write to}" ;;
    networks) networks "${2:?the folder}" ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 2 ;;
esac
