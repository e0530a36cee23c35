#!/usr/bin/env bash
# Train in several processes of this machine, or of NNODES machines:
#   tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# Environment: NNODES, NODE_RANK, MASTER_ADDR, PORT (default: a free one; with NNODES > 1 from the id of the job), PYTHON.
# Without GPUs, processes train on CPU cores.
# SIGTERM, SIGUSR1 or Ctrl-C saves a checkpoint; the exit status is 75 then, 130 for Ctrl-C.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG GPUS [arguments of train.py]" >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$(dirname "$HERE")${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m mmimb.engine.torchrun \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" ${PORT:+--master_port="$PORT"} \
    --nproc_per_node="$GPUS" "$HERE/train.py" "$CONFIG" --launcher pytorch "${@:3}"
