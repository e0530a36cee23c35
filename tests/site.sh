#!/usr/bin/env bash
# Build the documentation site with every warning an error, and look for dead links in what was built.
#   bash tests/site.sh [FOLDER]      default: site
# Needs .venv (tools/setup.sh); what builds the site goes into .venv-docs, which sees the packages of .venv besides its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
site=$(realpath -m "${1:-site}")
python=.venv/bin/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$PWD OMP_NUM_THREADS=1 PIP_DISABLE_PIP_VERSION_CHECK=1 NO_MKDOCS_2_WARNING=1

wanted=$("$python" -I -c "from importlib.metadata import requires
print(*(r.split(';')[0] for r in requires('mmimb') if 'docs' in r.partition(';')[2]), sep='\n')")
[ -n "$wanted" ] || { echo "error: mmimb in .venv is older than its extra docs: bash tools/setup.sh" >&2; exit 2; }
if [ "$(cat .venv-docs/.mmimb-docs 2>/dev/null)" != "$wanted" ]; then
  "$python" -m venv .venv-docs
  realpath .venv/lib/python*/site-packages > "$(echo .venv-docs/lib/python*/site-packages)/mmimb-environment.pth"
  echo "$wanted" | xargs .venv-docs/bin/python -m pip install --quiet
  echo "$wanted" > .venv-docs/.mmimb-docs
fi

(cd "$work"
 python=$OLDPWD/.venv/bin/python
 "$python" -m mmimb demo --train 60 --val 20 --test 20
 "$python" -m mmimb scan mmimb::demo/fast-scnn_demo_ce.py --out data/demo/stats.json --html report.html --crops 2) > "$work/log" 2>&1 \
  || { cat "$work/log"; exit 1; }
MMIMB_EXAMPLE_REPORT=$work/report.html .venv-docs/bin/python -m mkdocs build --quiet --strict --site-dir "$site"
"$python" tests/support/site_links.py "$site"
