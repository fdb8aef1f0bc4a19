#!/bin/sh
# A search in N processes of one machine, or of several (parallel --sshlogin), round after round, then merged.
#
#   DATA=/data/cifar-10-batches-bin OUT=search N=4 ROUNDS=6 sh parallel.sh
#
# The first round measures the uniform widths, the second the first generation, each further one a generation. A round with
# nothing left to measure costs a start of the program and no more.
set -eu
folders=$(seq -f "$OUT/shard-%g" "$N")
seq "$N" | parallel -j "$N" quantlab search --threads 1 --data "$DATA" --searcher nsga2 --shard "{}/$N" \
    --out "$OUT/shard-{}"
for round in $(seq 2 "$ROUNDS"); do
    known=$(echo "$folders" | paste -sd, -)
    seq "$N" | parallel -j "$N" quantlab search --threads 1 --resume "$OUT/shard-{}" --known "$known"
done
# shellcheck disable=SC2086 # one word for each folder
quantlab search merge $folders --out "$OUT/whole"
