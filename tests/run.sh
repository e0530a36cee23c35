#!/usr/bin/env bash
# Set up the environment if it is not there, then run every test.
#   bash tests/run.sh [--stack onedl|openmmlab] [pytest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stack=onedl
if [ "${1:-}" = --stack ]; then
  [ $# -ge 2 ] || { echo "error: --stack needs a value; usage: bash tests/run.sh [--stack onedl|openmmlab]" >&2; exit 2; }
  stack=$2
  shift 2
fi
bash tools/setup.sh --stack "$stack"
venv=.venv
[ "$stack" = onedl ] || venv=.venv-$stack
echo "Testing with the $stack stack ($venv)"
# One process per core; the tests of a file stay together, for they share what they trained.
exec env OMP_NUM_THREADS=1 "$venv/bin/python" -m pytest --numprocesses auto --dist loadfile "$@"
