#!/usr/bin/env bash
# A new user's walk, step by step, from a fresh clone, with the seconds that each step takes: the table of docs/walk.md.
#
#   tests/walk.sh [FOLDER]      FOLDER: where to clone to, and what to leave behind; default: a temporary one
#
# WALK_WEIGHTS names a ResNet-20 for CIFAR-10 that PyTorch saved (and WALK_NORMALIZATION, as `--normalization` takes it, default
# imagenet), WALK_PHOTO a picture; without them the bundled network, exported to .pt, and a picture of the slice are taken.
# QUANT_PYTHON is a Python with the packages of tests/interop/requirements.txt; without them ONNX Runtime is skipped, without
# Chromium the look at the pages is. WALK_TESTS=1 runs `cargo test` too, the second of the README's commands.
set -euo pipefail

source="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
folder="${1:-$(mktemp -d)}"
python="${QUANT_PYTHON:-python3}"
weights="${WALK_WEIGHTS:-}"
photo="${WALK_PHOTO:-}"
rows=()

# step WHAT COMMAND...: runs it, shows what it prints last, and keeps the seconds.
step() {
    local what="$1" start end
    shift
    printf -- '--- %s: %s\n' "$what" "$*" >&2
    start="$(date +%s%3N)"
    "$@" 2>&1 | tail -n 12 >&2
    end="$(date +%s%3N)"
    rows+=("$(printf '| %s | `%s` | %.1f |' "$what" "$*" "$(awk "BEGIN { print ($end - $start) / 1000 }")")")
}

skip() {
    printf 'SKIPPED: %s: %s\n' "$1" "$2" >&2
    rows+=("| $1 | skipped: $2 | |")
}

mkdir -p "$folder"
cd "$folder"
step "clone" git clone -q "$source" quantlab
cd quantlab
step "build the program" cargo build -q -p cli
step "the first command" cargo run -q -p cli -- qat --out runs/first
if [ "${WALK_TESTS:-0}" = 1 ]; then
    step "the second command" cargo test -q
fi
chromium="$(command -v chromium || command -v chromium-browser || true)"
look() { "$chromium" --headless --no-sandbox --disable-gpu --screenshot="$1" --window-size=1280,900 "$2"; }
if [ -n "$chromium" ]; then
    step "open its report" look report.png "file://$PWD/runs/first/report.html"
else
    skip "open its report" "no Chromium"
fi
if [ -z "$weights" ]; then
    weights="published.pt"
    cargo run -q -p cli -- export --to pt --out "$weights" >/dev/null
    normalization=course
else
    normalization="${WALK_NORMALIZATION:-imagenet}"
fi
step "quantize a PyTorch file" \
    cargo run -q -p cli -- ptq --weights "$weights" --normalization "$normalization" --bits W8A8 --out runs/published
model="$(ls runs/published/ResNet*_W8A8.safetensors)"
step "export it to ONNX" cargo run -q -p cli -- export "$model" --to onnx --out network.onnx
onnx_runtime='import numpy, onnxruntime
session = onnxruntime.InferenceSession("network.onnx", providers=["CPUExecutionProvider"])
print(session.run(["logits"], {"input": numpy.zeros((1, 3, 32, 32), numpy.float32)})[0].argmax())'
if "$python" -c 'import onnxruntime' 2>/dev/null; then
    step "run it in ONNX Runtime" "$python" -c "$onnx_runtime"
else
    skip "run it in ONNX Runtime" "Python has no onnxruntime"
fi
if [ -z "$photo" ]; then
    cargo run -q -p cli -- data pictures --out pictures >/dev/null
    photo="$(find pictures -name '*.png' -print -quit)"
fi
step "classify a photo" cargo run -q -p cli -- infer "$photo" --top 3
if [ -n "$chromium" ]; then
    "$python" -m http.server --directory docs/demo 8123 >/dev/null 2>&1 &
    server=$!
    trap 'kill "$server"' EXIT
    sleep 1
    step "open the demo" look demo.png "http://localhost:8123/index.html"
else
    skip "open the demo" "no Chromium"
fi

printf '\n| step | command | seconds |\n|---|---|---|\n'
printf '%s\n' "${rows[@]}"
