#!/usr/bin/env bash
# Train under Slurm, one task per GPU, or in tasks on CPU cores where there is none:
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of train.py]
# Environment: see slurm_step.sh. A job that may be preempted, with two minutes of grace time:
#   sbatch --partition=PARTITION --requeue --signal=TERM@120 --wrap='tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR' ...
# SIGTERM saves a checkpoint and ends the job with status 75, on which slurm.conf's RequeueExit=75 queues it again; a job that
# was queued again goes on from its latest checkpoint (--resume). docs/cluster.md tells more.
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
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] && [[ " $* " != *" --resume"* ]]; then
    ARGUMENTS+=(--resume)
fi
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec bash "$HERE/slurm_step.sh" "$PARTITION" "$JOB_NAME" train.py "$CONFIG" ${ARGUMENTS[@]+"${ARGUMENTS[@]}"} "$@"
