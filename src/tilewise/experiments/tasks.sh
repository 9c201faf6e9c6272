#!/bin/sh
# Super-resolution and segmentation: every figure of docs/results/tasks.md, one JSON file each, then tables and pictures:
#   sh src/tilewise/experiments/tasks.sh DATA_ROOT [espcn|edsr|unet|report ...]      (about 1.5 hours on one core)
# DATA_ROOT holds SR/T91, SR/Set5, SR/Set14 and CamVid/. What is there already is skipped, and interrupted training runs
# (in RUNS, by default runs/tasks) continue. Trained networks are not in the repository: remove docs/results/tasks/NETWORK-*.json
# to make a network's figures again.
set -euf # patterns of layers are no file names
ROOT=$1
shift
RESULTS=docs/results/tasks
RUNS=${RUNS:-runs/tasks}
TILEWISE=${TILEWISE:-.venv/bin/tilewise}
PYTHON=${PYTHON:-.venv/bin/python}
mkdir -p "$RESULTS" "$RUNS"

measure() { # NAME COMMAND ...
  out="$RESULTS/$1.json"
  shift
  [ -e "$out" ] || $TILEWISE "$@" --threads 1 --json "$out"
}

as() { # CASE -> options; F4-inner leaves the first and the last layers direct
  case $1 in
    F4-inner) echo "--algorithm F4 --layers $inner" ;;
    *) echo "--algorithm $1" ;;
  esac
}

super() { # NETWORK SCALE EPOCHS RATE, EPOCHS RATE of adapting, INNER-LAYERS: T91 -> Set5, Set14
  net=$1 inner=$7
  on="--model $net --scale $2 --data-root $ROOT"
  float="$RUNS/$net/last.safetensors"
  measure "$net-train" train $on --data set5 --epochs "$3" --lr "$4" --batch 16 --out "$RUNS/$net" --resume
  for set in set5 set14; do
    measure "$net-$set-float" evaluate $on --data $set --weights "$float"
    for algorithm in direct F4 F4-inner F6 SFC6 F2; do
      measure "$net-$set-$algorithm" evaluate $on --data $set --weights "$float" $(as $algorithm) \
        --calibration-images 32
    done
  done
  for algorithm in F4 F4-inner direct F6; do
    refined="$(as $algorithm) --calibration-images 32 --transforms learned --refine"
    run="$RUNS/$net-$algorithm"
    measure "$net-set5-$algorithm-refined" evaluate $on --data set5 --weights "$float" $refined --out "$run.safetensors"
    measure "$net-set14-$algorithm-refined" evaluate $on --data set14 --weights "$run.safetensors"
    measure "$net-$algorithm-adapt" adapt $on --data set5 --weights "$float" $refined \
      --freeze-ranges --transform-rate 0.3 --distill --epochs "$5" --lr "$6" --batch 16 --out "$run" --resume
    for set in set5 set14; do
      measure "$net-$set-$algorithm-adapted" evaluate $on --data $set --weights "$run/last.safetensors"
    done
  done
}

engine() { # NAME COMPILE-OPTIONS ...: compiled, and scored by the engine on all 233 test images
  name=$1
  shift
  file="$RUNS/$name.tilewise"
  [ -e "$RESULTS/$name.json" ] || $TILEWISE compile --model unet --data camvid --data-root "$ROOT" "$@" \
    --calibration-images 24 --threads 1 --out "$file"
  measure "$name" run "$file" --data camvid --data-root "$ROOT"
}

unet() { # CamVid
  on="--model unet --data camvid --data-root $ROOT"
  float="$RUNS/unet/last.safetensors"
  measure unet-train train $on --epochs 30 --lr 2e-3 --batch 8 --out "$RUNS/unet" --resume
  engine unet-camvid-float --weights "$float"
  for algorithm in direct F4 F6 SFC6 F2; do
    engine "unet-camvid-$algorithm" --weights "$float" --algorithm $algorithm --skips quantized
  done
  for algorithm in F4 direct F6; do
    refined="--algorithm $algorithm --skips quantized --refine"
    engine "unet-camvid-$algorithm-refined" --weights "$float" $refined
    measure "unet-$algorithm-adapt" adapt $on --weights "$float" $refined --calibration-images 24 --freeze-norms \
      --freeze-ranges --distill --epochs 1 --lr 2e-4 --batch 8 --out "$RUNS/unet-$algorithm" --resume
    engine "unet-camvid-$algorithm-adapted" --weights "$RUNS/unet-$algorithm/last.safetensors"
  done
}

espcn() { super espcn 3 40 2e-3 60 1e-3 conv2; }
edsr() { super edsr 2 12 1e-3 8 1e-3 "b*"; }
report() { $PYTHON -m tilewise.experiments.task_tables "$ROOT" --runs "$RUNS"; }

for part in ${*:-espcn edsr unet report}; do
  $part
done
