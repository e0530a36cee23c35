#!/usr/bin/env bash
# Build sdist and wheel, install the wheel into a new environment, and use it in a folder that is no clone.
#   bash tests/wheel.sh [PYTHON]      an environment with the onedl stack; default: .venv/bin/python
# The new environment sees Python itself, the wheel, and links to the distributions that mmimb[onedl] asks for: no other
# package of PYTHON's environment, and no file of the clone. So both a missing file and a missing requirement end it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=$(realpath --no-symlinks "${1:-.venv/bin/python}")
clone=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH
export OMP_NUM_THREADS=1 PIP_DISABLE_PIP_VERSION_CHECK=1 MMIMB_REPOSITORY=https://example.org/mmimb
step() { printf '\n== %s\n' "$*"; }

step "sdist of this clone, wheel of that sdist"
"$python" -c 'import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])' "$work/dist" > "$work/log" 2>&1 \
  || { cat "$work/log"; exit 1; }
"$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/dist" "$work"/dist/mmimb-*.tar.gz
wheel=$(ls "$work"/dist/*.whl)
mapfile -t files < <(git ls-files mmimb configs tools model-index.yml)
"$python" tests/support/wheel_contents.py "$wheel" "${files[@]}"

step "a new environment with $(basename "$wheel")"
"$python" -m venv --without-pip "$work/env"
"$python" -m pip --python "$work/env/bin/python" install --quiet --no-index --no-deps "$wheel"
site=$(ls -d "$work"/env/lib/python*/site-packages)
"$python" tests/support/wheel_environment.py "$site" onedl
export PATH="$work/env/bin:$PATH"
mkdir "$work/folder" && cd "$work/folder"
[ "$(python -c 'import mmimb; print(mmimb.__file__)')" = "$site/mmimb/__init__.py" ]

step "demo, scan"
mmimb demo --train 8 --val 4 --test 4
mmimb scan mmimb::demo/fast-scnn_demo_ce.py --out data/demo/stats.json > scan.log
tail -n 1 scan.log

step "train, test, compare"
echo "_base_ = 'mmimb::demo/fast-scnn_demo_ce-root.py'" > child.py
mmimb train child.py --work-dir run --cfg-options train_cfg.max_iters=2 train_cfg.val_interval=2 > train.log 2>&1 \
  || { tail train.log; exit 1; }
for run in one two; do
  mmimb test child.py run/iter_2.pth --work-dir test --out $run.json > test.log 2>&1 || { tail test.log; exit 1; }
done
mmimb compare one=one.json two=two.json --out picture.png

step "doctor, Python, the scripts"
mmimb doctor child.py --only stack config
python -c "from mmimb import ClassStats; ClassStats.load('data/demo/stats.json')"
python "$site/mmimb/.mim/tools/compare_runs.py" one=one.json two=two.json > /dev/null
[ -z "$(python -c 'import sys; print(*[p for p in sys.path if p.startswith(sys.argv[1])])' "$clone")" ]
echo "The wheel works."
