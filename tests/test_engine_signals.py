"""When PreemptionHook stops a run, and the status with which a process ends."""
from __future__ import annotations

import os
import signal
import sys
from types import SimpleNamespace

import pytest
from mmengine.runner import EpochBasedTrainLoop

from mmimb.engine import process, torchrun
from mmimb.hooks import PreemptionHook
from mmimb.signals import SIGNALS, leave_on_signal


def fake_runner(step, *, max_iters=100, val_interval=20, val_begin=1, epochs=False, length=10):
    loop = EpochBasedTrainLoop.__new__(EpochBasedTrainLoop) if epochs else object()
    return SimpleNamespace(iter=step - 1, max_iters=max_iters, val_interval=val_interval, val_begin=val_begin,
                           val_loop=object(), train_loop=loop, train_dataloader=range(length))


def stops(every, **settings):
    hook = PreemptionHook()
    return [step for step in range(1, 61) if hook._may_stop(fake_runner(step, **settings), (step - 1) % 10, every=every)]


def test_one_process_may_stop_anywhere_but_before_a_validation():
    assert stops(1) == [step for step in range(1, 61) if step not in (20, 40, 60)]
    assert stops(1, val_begin=30) == [step for step in range(1, 61) if step not in (40, 60)]
    assert stops(1, val_interval=1) == list(range(1, 61))


def test_several_processes_agree_every_interval_and_just_before_a_validation():
    assert stops(10) == [10, 19, 30, 39, 50, 59]


def test_the_last_iteration_is_the_end_of_training():
    assert stops(1, max_iters=5) == [1, 2, 3, 4]


def test_the_last_iteration_of_an_epoch_is_left_to_the_checkpoint_of_the_epoch():
    assert stops(1, epochs=True) == [step for step in range(1, 61) if step % 10]


def test_handlers_are_given_back():
    hook, before = PreemptionHook(), [signal.getsignal(number) for number in SIGNALS]
    hook.before_train(None)
    taken = [old if old is signal.SIG_IGN else hook._receive for old in before]  # a shell's background job ignores SIGINT
    assert [signal.getsignal(number) for number in SIGNALS] == taken
    os.kill(os.getpid(), signal.SIGUSR1)
    assert hook._received == signal.SIGUSR1
    hook.after_train(None)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_before_training_leaves_with_75_and_a_second_one_changes_nothing():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        with pytest.raises(SystemExit) as exit_info, leave_on_signal():
            os.kill(os.getpid(), signal.SIGTERM)
        assert exit_info.value.code == 75
        assert str(exit_info.value) == 'stopped by SIGTERM (exit status 75)'
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(('outcome', 'status'), [(0, 0), (3, 3), (SystemExit(75), 75), (SystemExit(None), 0),
                                                 (SystemExit('text'), 1)])
def test_status_of_a_tool(outcome, status, capsys):
    def main():
        if isinstance(outcome, SystemExit):
            raise outcome
        return outcome

    with pytest.raises(SystemExit) as exit_info:
        process.run_tool(main)
    assert exit_info.value.code == status


def run_and_exit(tmp_path, code):
    """Run two processes under our torchrun that end with these statuses."""
    script = tmp_path / 'script.py'
    script.write_text(f'import os, sys, time\nrank = int(os.environ["RANK"])\ntime.sleep(0.3 * rank)\nsys.exit({code}[rank])\n')
    return torchrun.main(['--nproc_per_node', '2', '--master_port', '0', str(script)])


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_torchrun_ends_with_the_status_of_its_processes(tmp_path):
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)}
    try:
        assert run_and_exit(tmp_path, (75, 75)) == 75
        assert run_and_exit(tmp_path, (1, 2)) == 1  # the second is ended before
        assert run_and_exit(tmp_path, (0, 0)) == 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
