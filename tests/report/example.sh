#!/bin/sh
# Makes docs/report-example.html again: three runs on the full CIFAR-10, the curves of two longer trainings that the
# repository keeps, a search; then its picture for the README. A quarter of an hour on two cores.
#
#     tests/report/example.sh DIR     # the folder of the data set
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
data=$(cd "$1" && pwd)
work=$(mktemp -d)
cargo build --release -p cli --manifest-path "$root/Cargo.toml"
cli="$root/target/release/cli"
cd "$work"
ln -s "$data" cifar10
"$cli" ptq --data cifar10 --out ptq_w4a4
"$cli" ptq --data cifar10 --policy product --out ptq_integer_only
"$cli" qat --data cifar10 --limit 10000 --epochs 5 --lr 0.001 --out qat_w4a4
"$cli" search --data cifar10 --floor 91 --searcher dynamic --costs sqnr --images 1000 --evaluations 24 --min-bits 2 \
    --out search
qat="$root/docs/training/qat"
"$cli" report ptq_w4a4 ptq_integer_only qat_w4a4 search "$qat/w4a4_lsq.jsonl" "$qat/w4a4_sawb.jsonl" \
    --images 64 --out "$root/docs/report-example.html"
python3 "$root/tests/report/browser.py" "$root/docs/report-example.html" --picture "$root/docs/images/report.png"
