#!/usr/bin/env bash
# A Slurm cluster of one node, started for this test and stopped after it, and every use that docs/cluster.md shows, for real.
#   bash tests/slurm.sh [PYTHON]      an environment with a stack; default: .venv/bin/python
# Slurm is taken from the machine, or installed (Debian, Ubuntu, as root). Without it: one line, and status 0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
clone=$PWD
export PYTHON=$(realpath --no-symlinks "${1:-.venv/bin/python}")
export OMP_NUM_THREADS=1 PYTHONPATH=$clone
PATH=$PATH:/usr/sbin:/sbin
step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1 must be '$2', got '$3'"; }

for program in slurmctld slurmd munged; do
    if ! command -v "$program" > /dev/null; then
        { [ "$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -qq \
            --no-install-recommends slurm-wlm munge; } > /dev/null 2>&1 \
            || { echo "NOT TESTED: there is no Slurm here, and it could not be installed"; exit 0; }
    fi
done

work=$(mktemp -d)
chmod 755 "$work"
stop() {
    status=$?
    if [ "$status" != 0 ]; then tail -n 30 "$work"/*.log "$work"/*/slurm-*.out "$work"/jobs/*.out 2> /dev/null || true; fi
    if [ "${SLURM_CONF:-}" = "$work/slurm.conf" ]; then  # this cluster's jobs, and never those of another
        timeout 20 scancel --user "$(id -un)" 2> /dev/null || true
        for _ in $(seq 20); do [ -z "$(timeout 5 squeue -h -t running,completing 2> /dev/null)" ] && break; sleep 1; done
    fi
    for daemon in slurmd slurmctld munged; do
        [ ! -f "$work/run/$daemon.pid" ] || kill "$(cat "$work/run/$daemon.pid")" 2> /dev/null || true
    done
    sleep 1
    rm -rf "$work" || { sleep 5; rm -rf "$work"; }  # a job may still write
    exit "$status"
}
trap stop EXIT

step "a cluster of one node"
host=$(hostname -s)
port() { "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])'; }
mkdir -p "$work"/{state,spool,run,jobs,folder}
head -c 1024 /dev/urandom > "$work/munge.key"
chmod 400 "$work/munge.key"
cat > "$work/slurm.conf" <<END
ClusterName=mmimb
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(port)
SlurmdPort=$(port)
AuthType=auth/munge
AuthInfo=socket=$work/run/munge.socket
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/run/slurmctld.pid
SlurmdPidFile=$work/run/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
RequeueExit=75
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES PriorityTier=1 GraceTime=60 State=UP
PartitionName=urgent Nodes=$host PriorityTier=9 PreemptMode=OFF State=UP
END
export SLURM_CONF=$work/slurm.conf
munged --force --socket="$work/run/munge.socket" --key-file="$work/munge.key" --pid-file="$work/run/munged.pid" \
    --log-file="$work/munged.log" --seed-file="$work/munge.seed"
slurmctld
slurmd -N "$host"
for _ in $(seq 30); do [ "$(sinfo -h -p cpu -o %t 2> /dev/null)" = idle ] && break; sleep 1; done
expect "the node's state" idle "$(sinfo -h -p cpu -o %t)"
cd "$work/folder"

step "scan in two tasks: the same bytes as one process gives"
"$PYTHON" "$clone/tools/make_demo_dataset.py" data/demo --train 12 --val 2 --test 2 > /dev/null
config=$clone/configs/demo/fast-scnn_demo_ce-root.py
"$PYTHON" "$clone/tools/scan_dataset.py" "$config" --out data/demo/stats.json --workers 0 > /dev/null
srun -n 2 "$PYTHON" "$clone/tools/scan_dataset.py" "$config" --launcher slurm --out parts.json --workers 0 > "$work/jobs/scan.out" 2>&1
"$PYTHON" "$clone/tools/scan_dataset.py" merge parts.*of2.json --out merged.json > /dev/null
"$PYTHON" - <<'END'
import json
one, merged = (json.load(open(name)) for name in ('data/demo/stats.json', 'merged.json'))
assert one['counts_sha256'] == merged['counts_sha256'] and one['per_image_sha256'] == merged['per_image_sha256']
END

step "what cannot run is refused in one line with status 2, and nothing waits in the queue"
refused() {
    local status=0
    "$@" > /dev/null 2> "$work/jobs/refused.out" || status=$?
    expect "the status of $*" 2 "$status"
    grep -m 1 '^error: ' "$work/jobs/refused.out" || fail "no line says what is wrong"
}
refused "$clone/tools/slurm_train.sh" nowhere test "$config" run
GPUS=4 refused "$clone/tools/slurm_train.sh" cpu test "$config" run
TASKS=2 CPUS_PER_TASK=5 refused "$clone/tools/slurm_train.sh" cpu test "$config" run
TASKS=2 refused "$clone/tools/slurm_train.sh" cpu test no_such_config.py run   # two tasks refuse it: 2, and neither 75 nor 143
expect "the queue" "" "$(squeue -h)"

step "train and test in two tasks"
cat > exact.py <<END  # nothing random but the order of the images, for the comparison of a resumed run
_base_ = '$config'
model = dict(decode_head=dict(dropout_ratio=0), auxiliary_head=dict(dropout_ratio=0))
train_dataloader = dict(dataset=dict(pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))
END
small=(train_dataloader.batch_size=2 train_dataloader.num_workers=0 train_dataloader.persistent_workers=False
    val_dataloader.num_workers=0 val_dataloader.persistent_workers=False test_dataloader.num_workers=0
    test_dataloader.persistent_workers=False default_hooks.logger.interval=1 randomness.deterministic=True)
long=("${small[@]}" train_cfg.max_iters=100 train_cfg.val_interval=100 default_hooks.checkpoint.interval=100)
TASKS=2 "$clone/tools/slurm_train.sh" cpu test exact.py whole --cfg-options "${long[@]}" > "$work/jobs/train.out" 2>&1
grep -c 'Iter(train) \[100/100\]' "$work/jobs/train.out" > /dev/null || fail "100 iterations"
TASKS=2 "$clone/tools/slurm_test.sh" cpu test exact.py whole/iter_100.pth --out metrics.json --cfg-options "${small[@]}" \
    > "$work/jobs/test.out" 2>&1
grep -q mIoU_tail metrics.json || fail "metrics.json"

step "preempted by a job of higher priority: saved, queued again, resumed to the same bits"
cat > train.sbatch <<END
#!/bin/bash
#SBATCH --partition=cpu --ntasks=2 --requeue --open-mode=append --signal=TERM@120 --output=$work/jobs/preempted.out
exec $clone/tools/slurm_train.sh cpu test exact.py preempted --cfg-options ${long[*]}
END
job=$(sbatch --parsable train.sbatch)
waiting() { for _ in $(seq 1200); do eval "$2" && return; sleep 0.5; done; fail "waited ten minutes for $1"; }
waiting "20 iterations" "grep -q 'Iter(train) \[ *20/100\]' '$work/jobs/preempted.out' 2> /dev/null"
urgent=$(sbatch --parsable --partition=urgent --ntasks=2 --output="$work/jobs/urgent.out" --wrap 'echo urgent')
waiting "the job to be queued again" "[ \"\$(squeue -h -j $job -o %T)\" = PENDING ]"
grep -h 'stopped by SIGTERM' "$work/jobs/preempted.out" | head -n 1
echo "queued again, to start at $(squeue -h -j "$job" -o %S) (now $(date +%FT%T))"
waiting "the urgent job" "grep -q urgent '$work/jobs/urgent.out' 2> /dev/null"
scontrol update jobid="$job" starttime=now
waiting "the end of the job" "[ -z \"\$(squeue -h -j $job 2> /dev/null)\" ]"
expect "the restarts of the job" 1 "$(scontrol show job "$job" | sed -n 's/.*Restarts=\([0-9]*\).*/\1/p')"
grep -q 'Iter(train) \[100/100\]' "$work/jobs/preempted.out" || fail "100 iterations after the preemption"
expect "lines of the first iteration" 1 "$(grep -c 'Iter(train) \[ *1/100\]' "$work/jobs/preempted.out")"
"$PYTHON" - <<'END'
import torch
one, two = (torch.load(f'{name}/iter_100.pth', map_location='cpu', weights_only=True)['state_dict'] for name in ('whole', 'preempted'))
assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one), 'weights differ'
print(f'{len(one)} tensors are equal')
END

step "an array over two seeds, compared"
cat > seeds.sbatch <<END
#!/bin/bash
#SBATCH --partition=cpu --ntasks=1 --array=0-1 --output=$work/jobs/seed-%a.out
exec $clone/tools/slurm_train.sh cpu test $config seeds/\$SLURM_ARRAY_TASK_ID --seed \$SLURM_ARRAY_TASK_ID --cfg-options \
    ${small[*]} train_cfg.max_iters=2 train_cfg.val_interval=2
END
sbatch --wait seeds.sbatch > /dev/null
for seed in 0 1; do
    "$PYTHON" "$clone/tools/test.py" "$config" seeds/$seed/iter_2.pth --out $seed.json --cfg-options "${small[@]}" > /dev/null 2>&1
done
"$PYTHON" "$clone/tools/compare_runs.py" a=0.json b=1.json
step "Slurm $(slurmctld -V | cut -d' ' -f2): everything works"
