#!/bin/sh
# A search, or a table, in N processes of one machine, or of several (parallel --sshlogin), then merged. A search goes round
# after round.
#
#   DATA=/data/cifar-10-batches-bin OUT=search N=4 ROUNDS=6 sh parallel.sh
#   VERB=table DATA=/data/cifar-10-batches-bin OUT=table N=4 sh parallel.sh
#
# The first round of a search measures the uniform widths, the second the first generation, each further one a generation. A
# round with nothing left to measure costs a start of the program and no more.
set -eu
verb=${VERB:-search}
folders=$(seq -f "$OUT/shard-%g" "$N")
if [ "$verb" = search ]; then
    seq "$N" | parallel -j "$N" quantlab search --threads 1 --data "$DATA" --searcher nsga2 --cache-mib 1000 \
        --shard "{}/$N" --out "$OUT/shard-{}"
    for round in $(seq 2 "$ROUNDS"); do
        known=$(echo "$folders" | paste -sd, -)
        seq "$N" | parallel -j "$N" quantlab search --threads 1 --resume "$OUT/shard-{}" --known "$known"
    done
else
    seq "$N" | parallel -j "$N" quantlab table --threads 1 --data "$DATA" --shard "{}/$N" --out "$OUT/shard-{}"
fi
# shellcheck disable=SC2086 # one word for each folder
quantlab "$verb" merge $folders --out "$OUT/whole"
