#!/bin/sh
# Search transforms, data-free; then the table of docs/results/algorithms.md.
set -e
out=docs/results/algorithms
per_tensor="--scales tensor --hadamard-bits 8 --scaled"
tilewise algorithms search --m 4 $per_tensor --out $out/F4-tensor.json
tilewise algorithms search --m 6 $per_tensor --restarts 2 --out $out/F6-tensor.json
tilewise algorithms search --m 2 --r 5 $per_tensor --out $out/F2-5-tensor.json
tilewise algorithms search --m 4 --r 5 $per_tensor --restarts 2 --out $out/F4-5-tensor.json
tilewise algorithms search --m 4 --points rational --bound 8 --price 0 --out $out/F4-tap.json
tilewise algorithms search --m 6 --points rational --bound 8 --price 0 --restarts 2 --out $out/F6-tap.json
wide="--points rational --bound 8 --price 0 --symmetric --v-bits 24 --restarts 2 --particles 30 --steps 30"
tilewise algorithms search --m 4 $wide --out $out/F4-wide.json
tilewise algorithms search --m 2 --r 5 $wide --out $out/F2-5-wide.json
tilewise algorithms search --m 2 --r 5 --points rational --bound 8 --price 0 --out $out/F2-5-tap.json
tilewise algorithms search --m 4 --r 5 --points rational --bound 8 --price 0 --restarts 2 --out $out/F4-5-tap.json
tilewise algorithms score --json $out/scores-3x3.json
tilewise algorithms score --balanced --json $out/scores-3x3-balanced.json
tilewise algorithms score --r 5 --json $out/scores-5x5.json
tilewise algorithms score --r 5 --balanced --json $out/scores-5x5-balanced.json
tilewise algorithms score --r 7 --json $out/scores-7x7.json
tilewise algorithms bases --json $out/bases.json
tilewise algorithms score $out/F*.json --json $out/scores-found.json
