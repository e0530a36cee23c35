#!/usr/bin/env bash
# From nothing to a comparison in minutes, on a CPU: environment, demo data, scan, two trainings, tuning, table and picture.
#   bash tools/quickstart.sh          run it again at will: what is done is not done twice
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # two runs share the machine: one thread each
runs=work_dirs/quickstart
stats=data/demo/stats.json
step() { printf '\n== %s\n' "$*"; }

step "1/6 Environment"
bash tools/setup.sh
source .venv/bin/activate

step "2/6 Demo dataset: data/demo"
python tools/make_demo_dataset.py data/demo

step "3/6 How unbalanced is it? (tools/scan_dataset.py)"
python tools/scan_dataset.py configs/demo/fast-scnn_demo_ce.py --out "$stats"

train() {  # NAME LABEL: train configs/demo/fast-scnn_demo_NAME.py
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
    | sed -unE 's/.*Iter\(train\) (\[ *[0-9]*00\/[^]]*\]).*eta: ([0-9:]+).* loss: ([0-9.]+) .*/  '"$2"'  iteration \1  loss \3  time left \2/p' \
    || fail "$dir/train.log"
}
measure() {  # NAME CHECKPOINT: measure it on the test images
  local dir=$runs/$1
  [ -e "$dir/metrics.json" ] || python tools/test.py "configs/demo/fast-scnn_demo_$1.py" "$2" --work-dir "$dir/test" \
    --out "$dir/metrics.json" > "$dir/test.log" 2>&1 || fail "$dir/test.log"
}
changed_since() {  # MARKER: whether it is missing, or older than a config or the dataset
  [ ! -e "$1" ] || [ -n "$(find configs/_base_ configs/demo data/demo/demo.json \( -name '*.py' -o -name demo.json \) -newer "$1")" ]
}
fail() {
  echo "error: a step failed; the end of $1:" >&2
  tail -n 15 "$1" >&2
  exit 1
}

step "4/6 Train the same small network twice, side by side: cross-entropy, and with root weights (logs in $runs)"
set -m  # a process group of its own, so that it ends when this script does
train ce-root 'root weights ' &
second=$!
set +m
trap 'kill -- "-$second" 2>/dev/null || true' EXIT
train ce 'cross-entropy'
wait "$second"
trap - EXIT

step "5/6 Tune the decision of the second on the validation images (tools/tune_offsets.py)"
recipe=$runs/ce-root
if [ ! -e "$recipe/metrics.json" ]; then
  python tools/tune_offsets.py configs/demo/fast-scnn_demo_ce-root.py "$(cat "$recipe/last_checkpoint")" \
    --work-dir "$recipe/tune" --out "$recipe/tuned.pth" > "$recipe/tune.log" 2>&1 || fail "$recipe/tune.log"
fi
awk '/ - mmengine - / { kept = ""; next } { kept = kept $0 ORS } END { printf "%s", kept }' "$recipe/tune.log"  # what it found

step "6/6 Compare on the test images, which were used for nothing so far"
measure ce "$(cat "$runs/ce/last_checkpoint")" &
first=$!
trap 'kill "$first" 2>/dev/null || true' EXIT
measure ce-root "$recipe/tuned.pth"
wait "$first"
trap - EXIT
python tools/compare_runs.py "cross-entropy=$runs/ce/metrics.json" "root weights, tuned=$recipe/metrics.json" \
  --out "$runs/comparison.png" --csv "$runs/comparison.csv"
echo
echo "Your own data: mmimb scan YOUR_CONFIG --write-config child.py; every command then says the next one."
