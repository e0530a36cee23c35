#!/usr/bin/env bash
# Difficulty-balanced weights on CamVid: five setups, several seeds, equal schedule; tested on the last checkpoint.
#   bash benchmarks/camvid_difficulty.sh [ITERATIONS [SEED ...]]
# Needs data/camvid and data/camvid/stats.json (see configs/README.md). An interrupted run goes on where it was; finished ones
# are kept. SETUPS chooses some of the setups. Scores: work_dirs/camvid_difficulty/*.json, then the tables of all runs.
set -euo pipefail
cd "$(dirname "$0")/.."
iterations=${1:-500}
seeds=("${@:2}")
[ ${#seeds[@]} -gt 0 ] || seeds=(0 1 2)
out=work_dirs/camvid_difficulty
setups=${SETUPS:-ce outlying-mse ce-difficulty-holdout ce-difficulty-train outlying-mse-difficulty}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python=${PYTHON:-python}
for seed in "${seeds[@]}"; do
  for setup in $setups; do
    run=$out/$setup-$seed
    config=configs/camvid/fast-scnn_camvid_$setup.py
    [ -f "$run.json" ] && continue
    options=("train_cfg.max_iters=$iterations" "train_cfg.val_interval=$iterations" "param_scheduler.1.end=$iterations"
             default_hooks.checkpoint.interval=100)
    case $setup in
      ce-difficulty-holdout | outlying-mse-difficulty) options+=(custom_hooks.0.momentum=0) ;;  # the paper's, not the default
    esac
    "$python" tools/train.py "$config" --work-dir "$run" --seed "$seed" --resume --cfg-options "${options[@]}"
    "$python" tools/test.py "$config" "$run/iter_$iterations.pth" --work-dir "$run/test" --out "$run.json"
  done
done
