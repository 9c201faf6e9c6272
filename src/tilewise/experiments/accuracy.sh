#!/bin/sh
# Every accuracy figure of docs/results/accuracy.md, one JSON file each:
#   sh src/tilewise/experiments/accuracy.sh DATA_ROOT [swap|adapt|lenet ...]      (about 2.5 hours on 2 cores)
# DATA_ROOT holds cifar-10-batches-py/, MNIST/raw/ and pretrained/resnet20-12fca82f.th. What is there already is
# skipped, and interrupted training runs (in runs/) continue.
set -eu
ROOT=$1
shift
RESULTS=docs/results/accuracy
TILEWISE=${TILEWISE:-.venv/bin/tilewise}
WEIGHTS="$ROOT/pretrained/resnet20-12fca82f.th"
mkdir -p "$RESULTS" runs

measure() { # NAME COMMAND ...
  out="$RESULTS/$1.json"
  shift
  [ -e "$out" ] || $TILEWISE "$@" --json "$out"
}

swap() { # ResNet-20 on CIFAR-10 without training
  on="--model resnet20 --weights $WEIGHTS --data cifar10 --data-root $ROOT"
  measure resnet20-fp32 evaluate $on
  measure resnet20-direct-swap evaluate $on --algorithm direct
  for algorithm in F2 F4-textbook F4 F6 SFC6 "SFC6(6)"; do
    for scales in tensor tap; do
      measure "resnet20-$algorithm-$scales-swap" evaluate $on --algorithm "$algorithm" --scales $scales
    done
  done
  for algorithm in F4-textbook F4; do
    measure "resnet20-$algorithm-paper-swap" evaluate $on --algorithm $algorithm --quantizer paper
  done
}

adapt() { # ResNet-20 on CIFAR-10, trained on
  on="--model resnet20 --weights $WEIGHTS --data cifar10 --data-root $ROOT --resume"
  for transforms in learned static; do
    # 600 steps in all: three passes over a quarter of the training images, taught by the float network.
    measure "resnet20-F4-tap-adapted-$transforms" \
      adapt $on --algorithm F4 --transforms $transforms --lr 2e-4 --epochs 3 --train-images 12800 \
      --freeze-norms --distill --out "runs/r20-F4-tap-$transforms"
    # The same on labels, with moving batch norm statistics: what the two options above are worth.
    measure "resnet20-F4-tap-labels-$transforms" \
      adapt $on --algorithm F4 --transforms $transforms --lr 2e-4 --epochs 2 --out "runs/r20-F4-labels-$transforms"
    # The paper's quantizer starts from a collapse: its statistics must move, at a higher rate.
    measure "resnet20-F4-paper-adapted-$transforms" \
      adapt $on --algorithm F4 --quantizer paper --transforms $transforms --lr 1e-3 --epochs 3 --train-images 12800 \
      --distill --out "runs/r20-F4-paper-$transforms"
  done
}

lenet() { # LeNet-5 on MNIST, 5x5 kernels
  on="--model lenet5 --data mnist --data-root $ROOT --resume"
  measure lenet5-fp32 train $on --epochs 4 --out runs/lenet-fp32
  from="--weights runs/lenet-fp32/last.safetensors"
  evaluated="--model lenet5 --data mnist --data-root $ROOT $from"
  measure lenet5-direct-swap evaluate $evaluated --algorithm direct
  for algorithm in F2 F4; do
    for scales in tensor tap; do
      measure "lenet5-$algorithm-$scales-swap" evaluate $evaluated --algorithm $algorithm --scales $scales
    done
    measure "lenet5-$algorithm-paper-swap" evaluate $evaluated --algorithm $algorithm --quantizer paper
    for transforms in static learned; do
      measure "lenet5-$algorithm-tap-adapted-$transforms" adapt $on $from --epochs 2 --algorithm $algorithm \
        --transforms $transforms --lr 5e-4 --out "runs/lenet-$algorithm-tap-$transforms"
      measure "lenet5-$algorithm-paper-adapted-$transforms" adapt $on $from --epochs 2 --algorithm $algorithm \
        --quantizer paper --transforms $transforms --lr 5e-4 --out "runs/lenet-$algorithm-paper-$transforms"
    done
  done
}

for part in ${*:-swap adapt lenet}; do
  $part
done
