#!/usr/bin/env bash
# Train under slurm, one task per GPU:
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of train.py]
# Environment: GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS, MASTER_PORT (default: from the id of the job), PYTHON.
# A job that may be preempted, with two minutes of grace time; slurm.conf's RequeueExit=75 queues it again:
#   sbatch --requeue --signal=USR1@120 --wrap='tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR --resume' ...
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of train.py]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
shift 3
ARGUMENTS=()
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    ARGUMENTS=(--work-dir "$1")
    shift
fi
GPUS=${GPUS:-4}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 4 ? GPUS : 4))}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$(dirname "$HERE")${PYTHONPATH:+:$PYTHONPATH}"
# shellcheck disable=SC2086  (SRUN_ARGS is a list of words)
exec srun -p "$PARTITION" --job-name="$JOB_NAME" --gres=gpu:"$GPUS_PER_NODE" --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$HERE/train.py" "$CONFIG" --launcher slurm ${ARGUMENTS[@]+"${ARGUMENTS[@]}"} "$@"
