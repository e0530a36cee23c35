#!/usr/bin/env bash
# Run a script of this folder in the tasks of a Slurm step; slurm_train.sh and slurm_test.sh call it:
#   tools/slurm_step.sh PARTITION JOB_NAME SCRIPT [arguments of the script]
# Outside of a job it asks for one. Environment (the defaults are never more than the partition's largest node has):
#   GPUS           tasks, one per GPU (default: 4; 0 where the partition has none: tasks on CPU cores)
#   TASKS          tasks if GPUS is 0 (default: 1)
#   TASKS_PER_NODE (or GPUS_PER_NODE; default: as many as fit)
#   CPUS_PER_TASK  (default: 5)
#   SRUN_ARGS, PYTHON, MASTER_PORT (default: from the id of the job)
# Inside a job (sbatch, salloc) the allocation says all that, one task per GPU or --ntasks, unless the environment does.
# Exit status: that of the first task that fails. srun's is the highest, which may be that of a task it has killed.
set -euo pipefail
if [ $# -lt 3 ]; then
    echo "usage: $0 PARTITION JOB_NAME SCRIPT [arguments of the script]" >&2
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
SCRIPT=$3
shift 3
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$(dirname "$HERE")${PYTHONPATH:+:$PYTHONPATH}"
TASKS_PER_NODE=${TASKS_PER_NODE:-${GPUS_PER_NODE:-}}

least() { echo $(($1 < $2 ? $1 : $2)); }
refuse() { echo "error: $*" >&2; exit 2; }

largest_node() {  # CPUs and GPUs of the node with the most GPUs
    sinfo --noheader --Node --partition "$PARTITION" --format '%c %G' | awk '
        { gpus = 0
          for (i = split($2, kinds, ","); i > 0; i--) {  # gpu:4, gpu:a100:4(S:0-1), (null)
              sub(/\(.*/, "", kinds[i])
              parts = split(kinds[i], part, ":")
              if (part[1] == "gpu") gpus += part[parts]
          }
          if (NR == 1 || gpus > most || (gpus == most && $1 + 0 > cpus)) { most = gpus; cpus = $1 + 0 } }
        END { if (NR) print cpus, most }'
}

ask_partition() {
    local node cpus gpus
    node=$(largest_node)
    [ -n "$node" ] || refuse "\`PARTITION\` must be one that sinfo knows, got '$PARTITION'"
    read -r cpus gpus <<< "$node"
    GPUS=${GPUS:-$(least 4 "$gpus")}
    if [ "$GPUS" -gt 0 ]; then
        [ "$gpus" -gt 0 ] || refuse "\`GPUS\` must be 0 (tasks on CPU cores) in partition '$PARTITION', which has no GPU, got $GPUS"
        TASKS=$GPUS
        TASKS_PER_NODE=${TASKS_PER_NODE:-$(least "$TASKS" "$gpus")}
        [ "$TASKS_PER_NODE" -le "$gpus" ] || refuse "\`GPUS_PER_NODE\` must be at most $gpus in partition '$PARTITION', got $TASKS_PER_NODE"
        OPTIONS+=(--gres=gpu:"$TASKS_PER_NODE")
    else
        TASKS=${TASKS:-1}
        TASKS_PER_NODE=${TASKS_PER_NODE:-$(least "$TASKS" "$cpus")}
    fi
    [ "$TASKS_PER_NODE" -le "$cpus" ] || refuse "\`TASKS_PER_NODE\` must be at most $cpus in partition '$PARTITION', got $TASKS_PER_NODE"
    CPUS_PER_TASK=${CPUS_PER_TASK:-$(least 5 $((cpus / TASKS_PER_NODE)))}
    [ $((TASKS_PER_NODE * CPUS_PER_TASK)) -le "$cpus" ] || refuse "\`CPUS_PER_TASK\` must be at most $((cpus / TASKS_PER_NODE)) for" \
        "$TASKS_PER_NODE tasks on a node of partition '$PARTITION' ($cpus CPUs), got $CPUS_PER_TASK"
    OPTIONS+=(--partition="$PARTITION" --ntasks="$TASKS" --ntasks-per-node="$TASKS_PER_NODE" --cpus-per-task="$CPUS_PER_TASK")
    echo "Asking partition '$PARTITION' for $TASKS tasks ($TASKS_PER_NODE on a node) with $CPUS_PER_TASK CPUs each," \
        "$([ "$GPUS" -gt 0 ] && echo 'one GPU each' || echo 'no GPU'); its largest node has $cpus CPUs and $gpus GPUs" >&2
}

take_allocation() {
    if [ "${GPUS:-}" != 0 ] && [ "${GPUS:-${SLURM_GPUS_ON_NODE:-0}}" -gt 0 ]; then
        TASKS=${GPUS:-$((SLURM_GPUS_ON_NODE * ${SLURM_NNODES:-1}))}
    fi
    OPTIONS+=(--ntasks="${TASKS:-${SLURM_NTASKS:-1}}" --cpus-per-task="${CPUS_PER_TASK:-${SLURM_CPUS_PER_TASK:-1}}")
    [ -z "$TASKS_PER_NODE" ] || OPTIONS+=(--ntasks-per-node="$TASKS_PER_NODE")
}

OPTIONS=(--job-name="$JOB_NAME" --kill-on-bad-exit=1)
if [ -z "${SLURM_JOB_ID:-}" ]; then ask_partition; else take_allocation; fi

MESSAGES=$(mktemp)
trap 'rm -f "$MESSAGES"' EXIT
trap : TERM USR1  # Slurm signals the tasks, which save and leave; this script waits for them
status=0
# shellcheck disable=SC2086  (SRUN_ARGS is a list of words)
{ srun "${OPTIONS[@]}" ${SRUN_ARGS:-} "${PYTHON:-python}" -u "$HERE/$SCRIPT" "$@" --launcher slurm 2>&1 >&3 | tee "$MESSAGES" >&2; } 3>&1 \
    || status=$?
first=$(sed -n 's/^srun: error: .*: tasks\{0,1\} [0-9,-]*: //p' "$MESSAGES" | head -n 1)
case $first in
    'Exited with exit code '*) exit "${first##* }" ;;
    *) exit "$status" ;;
esac
