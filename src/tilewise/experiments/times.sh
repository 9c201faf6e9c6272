#!/bin/sh
# Time what the papers ask of layers, on a quiet machine, each study in at most ten minutes; then the page of all results.
#   sh src/tilewise/experiments/times.sh [OUT]
set -e
out=${1:-runs/experiments}
for study in stages dense movement grid residues; do
  tilewise experiment $study --threads 1 --out "$out"
done
tilewise experiment report --out "$out"
