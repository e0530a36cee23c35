#!/usr/bin/env bash
# Set up a virtual environment with mmimb and one stack; does nothing when it is already there.
#   bash tools/setup.sh [--stack onedl|openmmlab]     .venv (onedl, default) or .venv-openmmlab
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage='usage: bash tools/setup.sh [--stack onedl|openmmlab]'
stack=onedl
while [ $# -gt 0 ]; do
  case $1 in
    --stack) [ $# -ge 2 ] || { echo "error: --stack needs a value; $usage" >&2; exit 2; }
             stack=$2; shift 2 ;;
    *) echo "error: unknown argument '$1'; $usage" >&2; exit 2 ;;
  esac
done
case $stack in
  onedl) venv=.venv ;;
  openmmlab) venv=.venv-openmmlab ;;
  *) echo "error: --stack must be onedl or openmmlab, got '$stack'" >&2; exit 2 ;;
esac

python=${PYTHON:-python3}
if ! "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
  echo "error: Python 3.10 or newer with the venv module is needed, got '$python' (set PYTHON to another)" >&2
  exit 2
fi

wanted=$(cat setup.py tools/constraints.txt tools/setup.sh | cksum)
if [ "$(cat "$venv/.mmimb-setup" 2>/dev/null)" = "$wanted" ]; then
  exit 0
fi

echo "Setting up $venv ($stack stack; needs the network once) ..."
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@" --quiet --constraint tools/constraints.txt; }

pip install torch
if [ "$stack" = openmmlab ]; then
  # mmcv 2.1.0 is a source package that imports torch and pkg_resources while it builds; keep the wheel, it takes minutes.
  pip install 'setuptools<81' wheel ninja psutil
  tag=$("$venv/bin/python" -c 'import sys, torch; print(f"torch{torch.__version__}-py{sys.version_info.major}{sys.version_info.minor}")')
  wheels=${MMIMB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmimb}/wheels/$tag
  if ! ls "$wheels"/mmcv-2.1.0-*.whl >/dev/null 2>&1; then
    echo "Compiling mmcv 2.1.0 (about 10 minutes on 2 cores; kept in $wheels) ..."
    mkdir -p "$wheels"
    MMCV_WITH_OPS=1 FORCE_CUDA=${FORCE_CUDA:-0} MAX_JOBS=${MAX_JOBS:-$(nproc)} \
      pip wheel --no-build-isolation --no-deps --wheel-dir "$wheels" mmcv==2.1.0
  fi
  pip install --no-deps "$wheels"/mmcv-2.1.0-*.whl
fi
extras=$stack
[ "$stack" = openmmlab ] && extras=openmmlab,openmmlab-mmdet  # Mask2Former and MaskFormer are tested there
pip install --editable ".[$extras,test,dev]"
echo "$wanted" > "$venv/.mmimb-setup"
echo "Done: source $venv/bin/activate"
