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

step "demo, scan, train, tune, test: each is what the one before says, in 2 iterations; compare"
follow() {  # LOG: the command after "next:" in it, without the note
  sed -nE 's/^next: ([^(]*).*/\1/p' "$1"
}
attempt() {  # LOG COMMAND: its output goes into LOG
  echo "+ $2"
  eval "$2" > "$1" 2>&1 || { tail -n 30 "$1"; exit 1; }
}
attempt demo.log 'mmimb demo --train 8 --val 4 --test 4'
attempt scan.log "$(follow demo.log)"
attempt train.log "$(follow scan.log) --cfg-options train_cfg.max_iters=2 train_cfg.val_interval=2"
attempt tune.log "$(follow train.log)"
attempt test.log "$(follow tune.log)"
attempt other.log "mmimb test demo_child.py work_dirs/demo_child/iter_2.pth --out other.json"
attempt compare.log "$(follow test.log | sed 's/BASELINE=OTHER.json/other=other.json/') --out picture.png"
tail -n 3 compare.log

step "doctor, Python, the scripts"
mmimb doctor demo_child.py --only stack config
python -c "from mmimb import ClassStats; ClassStats.load('data/demo/stats.json')"
python "$site/mmimb/.mim/tools/compare_runs.py" one=other.json two=work_dirs/demo_child/tuned.json > /dev/null
[ -z "$(python -c 'import sys; print(*[p for p in sys.path if p.startswith(sys.argv[1])])' "$clone")" ]
echo "The wheel works."
