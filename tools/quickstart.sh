#!/usr/bin/env bash
# From nothing to a comparison in minutes, on a CPU: environment, demo data, scan, two trainings, table and picture.
#   bash tools/quickstart.sh          run it again at will: what is done is not done twice
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # two runs share the machine: one thread each
runs=work_dirs/quickstart
stats=data/demo/stats.json
step() { printf '\n== %s\n' "$*"; }

step "1/5 Environment"
bash tools/setup.sh
source .venv/bin/activate

step "2/5 Demo dataset: data/demo"
python tools/make_demo_dataset.py data/demo

step "3/5 How unbalanced is it? (tools/scan_dataset.py)"
python tools/scan_dataset.py configs/demo/fast-scnn_demo_ce.py --out "$stats"

train() {  # NAME LABEL: train configs/demo/fast-scnn_demo_NAME.py, measure its last checkpoint on the validation images
  local config=configs/demo/fast-scnn_demo_$1.py dir=$runs/$1
  if changed_since "$dir/started"; then
    rm -rf "$dir"
    mkdir -p "$dir"
    touch "$dir/started"
  elif [ -e "$dir/metrics.json" ]; then
    echo "$2 is already trained ($dir; delete it to train again)"
    return
  fi
  python tools/train.py "$config" --work-dir "$dir" --resume 2>&1 | tee "$dir/train.log" \
    | sed -unE 's/.*Iter\(train\) (\[[^]]*\]).*eta: ([0-9:]+).* loss: ([0-9.]+) .*/  '"$2"'  iteration \1  loss \3  time left \2/p' \
    || fail "$dir/train.log"
  python tools/test.py "$config" "$(cat "$dir/last_checkpoint")" --work-dir "$dir/test" --out "$dir/metrics.json" \
    > "$dir/test.log" 2>&1 || fail "$dir/test.log"
}
changed_since() {  # MARKER: whether it is missing, or older than a config or the dataset
  [ ! -e "$1" ] || [ -n "$(find configs/_base_ configs/demo data/demo/demo.json \( -name '*.py' -o -name demo.json \) -newer "$1")" ]
}
fail() {
  echo "error: a step failed; the end of $1:" >&2
  tail -n 15 "$1" >&2
  exit 1
}

step "4/5 Train the same small network twice, side by side: cross-entropy, and outlying-label MSE (logs in $runs)"
set -m  # a process group of its own, so that it ends when this script does
train outlying-mse 'outlying-label MSE' &
second=$!
set +m
trap 'kill -- "-$second" 2>/dev/null || true' EXIT
train ce 'cross-entropy     '
wait "$second"
trap - EXIT

step "5/5 Compare on the validation images"
python tools/compare_runs.py "cross-entropy=$runs/ce/metrics.json" "outlying-label MSE=$runs/outlying-mse/metrics.json" \
  --out "$runs/comparison.png"
echo
echo "Your own data: take any mmseg config, scan it, and change its loss_decode as configs/demo/fast-scnn_demo_outlying-mse.py does."
