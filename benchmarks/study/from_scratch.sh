#!/usr/bin/env bash
# The study's second regime: Fast-SCNN on CamVid at half size, from scratch, by the tools of the project alone.
#   bash benchmarks/study/from_scratch.sh [ITERATIONS [SEED ...]]      # 3000, seeds 0 1 2
# Needs data/camvid and data/camvid/stats.json (see configs/README.md). An interrupted run goes on where it was; finished ones
# are kept. SETUPS chooses some of the setups. Every run is scored on dev and test, as trained and with offsets tuned on dev:
# work_dirs/study_scratch/<setup>-<seed>.{dev,test}[.tuned].json. The last step puts all runs that are scored into results/, and
# their counts per image into STUDY_WORK_DIR, the work folder of the first regime.
set -euo pipefail
cd "$(dirname "$0")/../.."
iterations=${1:-3000}
seeds=("${@:2}")
[ ${#seeds[@]} -gt 0 ] || seeds=(0 1 2)
out=work_dirs/study_scratch
setups=${SETUPS:-ce ce-root outlying-mse}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python=${PYTHON:-python}
dev=(test_dataloader.dataset.ann_file=dev.txt test_dataloader.dataset.data_prefix.img_path=images/train
     test_dataloader.dataset.data_prefix.seg_map_path=annotations/train)
for seed in "${seeds[@]}"; do
  for setup in $setups; do
    run=$out/$setup-$seed
    config=configs/camvid/fast-scnn_camvid-half_$setup.py
    [ -f "$run.test.tuned.json" ] && continue
    options=("train_cfg.max_iters=$iterations" "train_cfg.val_interval=$iterations" "param_scheduler.1.end=$iterations"
             default_hooks.checkpoint.interval=500)
    "$python" tools/train.py "$config" --work-dir "$run" --seed "$seed" --resume --cfg-options "${options[@]}"
    "$python" tools/tune_offsets.py "$config" "$run/iter_$iterations.pth" --out "$run/tuned.pth" --split val --blocks 20
    for file in "iter_$iterations.pth:" tuned.pth:.tuned; do
      "$python" tools/test.py "$config" "$run/${file%%:*}" --work-dir "$run/test" --out "$run.dev${file##*:}.json" \
        --cfg-options "${dev[@]}"
      "$python" tools/test.py "$config" "$run/${file%%:*}" --work-dir "$run/test" --out "$run.test${file##*:}.json"
    done
  done
done
"$python" benchmarks/study/collect_scratch.py "$out" --work-dir "${STUDY_WORK_DIR:-work_dirs/study}"
