"""A tiny real training for the tests of the tools: eight images, a U-Net of a few hundred weights, three classes."""
from __future__ import annotations

import io
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmimb.signals import SIGNALS, give_back

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ('road', 'car', 'sign')
CONFIG = '''
default_scope = 'mmseg'
classes = {classes!r}
data = dict(type='BaseSegDataset', data_root={root!r}, img_suffix='.png', metainfo=dict(classes=classes),
            data_prefix=dict(img_path='images', seg_map_path='labels'))
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
test_pipeline = load
norm = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[60.] * 3, bgr_to_rgb=True, pad_val=0,
                           seg_pad_val=255, size=(64, 64)),
    backbone=dict(type='UNet', base_channels=4, num_stages=2, strides=(1, 1), enc_num_convs=(1, 1), dec_num_convs=(1, ),
                  downsamples=(True, ), enc_dilations=(1, 1), dec_dilations=(1, ), norm_cfg=norm),
    decode_head=dict(type='FCNHead', in_channels=4, in_index=-1, channels=4, num_convs=1, num_classes=3, norm_cfg=norm,
                     dropout_ratio=0, loss_decode=dict(type='mmimb.OutlyingMSELoss', stats={stats!r})),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
train_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(pipeline=load, **data),
                        sampler=dict(type='InfiniteSampler', shuffle=True))
val_dataloader = dict(batch_size=1, num_workers=0, dataset=dict(pipeline=load, test_mode=True, **data),
                      sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmimb.LongTailIoUMetric', stats={stats!r})
test_evaluator = val_evaluator
train_cfg = dict(type='IterBasedTrainLoop', max_iters=8, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=8, by_epoch=False)]
default_hooks = dict(logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
                     checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4, max_keep_ckpts=3))
log_processor = dict(by_epoch=False)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
randomness = dict(seed=3)
'''


def make_dataset(folder: Path) -> Path:
    """Write eight 64x64 images whose colour tells the class, with labels 0, 1, 2 and 255."""
    rng = np.random.default_rng(0)
    for name in ('images', 'labels'):
        (folder / name).mkdir(parents=True)
    for i in range(8):
        label = np.zeros((64, 64), np.uint8)
        label[8:30, 8:40] = 1
        label[40:48, 8 + i:16 + i] = 2
        label[:3] = 255
        image = np.array([[60, 60, 60], [200, 40, 40], [40, 200, 220]])[np.where(label == 255, 0, label)]
        cv2.imwrite(str(folder / f'images/{i}.png'), np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / f'labels/{i}.png'), label)
    return folder


def make_report(path: Path, classes=CLASSES, **changes) -> Path:
    """Write statistics as the scanner does, true to :func:`make_dataset` unless changed."""
    report = {'classes': list(classes), 'pixels': [8 * (61 * 64 - 22 * 32 - 64), 8 * 22 * 32, 8 * 64][:len(classes)],
              'images': [8] * len(classes), 'num_images': 8, 'provenance': {}}
    path.write_text(json.dumps({**report, **changes}), encoding='utf-8')
    return path


def make_config(path: Path, root: Path, stats: Path, extra: str = '') -> Path:
    """Write the config of the run, with lines of Python after it."""
    path.write_text(CONFIG.format(classes=CLASSES, root=str(root), stats=str(stats)) + extra, encoding='utf-8')
    return path


def environment(**changes: str) -> dict[str, str]:
    """Return the environment of a subprocess that imports this tree and computes with one thread."""
    env = {k: v for k, v in os.environ.items() if k not in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MMIMB_TRACEBACK')}
    path = os.pathsep.join(filter(None, [str(ROOT), env.get('PYTHONPATH', '')]))
    return {**env, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1', 'PYTHON': sys.executable,
            'PYTHONWARNINGS': 'ignore', 'PYTHONUNBUFFERED': '1', **changes}


def tool(name: str, *arguments: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess:
    """Run ``tools/<name>`` to its end."""
    return subprocess.run(command(name, *arguments), cwd=cwd, env=environment(**env), text=True, capture_output=True,
                          timeout=180, check=False)


def start(name: str, *arguments: object, log: Path, cwd: Path | None = None, **env: str) -> subprocess.Popen:
    """Start ``tools/<name>`` in a process group of its own, with its output in ``log``."""
    with log.open('w') as file:
        return subprocess.Popen(command(name, *arguments), cwd=cwd, env=environment(**env), stdout=file,
                                stderr=subprocess.STDOUT, start_new_session=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # a shell's `&` ignores it


def command(name: str, *arguments: object) -> list[str]:
    runner = ['bash'] if name.endswith('.sh') else [sys.executable]
    return [*runner, str(ROOT / 'tools' / name), *map(str, arguments)]


def free_port() -> str:
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return str(s.getsockname()[1])


def wait_for(log: Path, pattern: str, process: subprocess.Popen, timeout: float = 90) -> None:
    """Wait until ``pattern`` is in the output; fail if the process ends before."""
    try:
        wait_until(lambda: re.search(pattern, log.read_text(errors='replace')), process, timeout)
    except AssertionError as error:
        raise AssertionError(f'no {pattern!r} in the output ({error}):\n{log.read_text()[-3000:]}') from error


def wait_until(condition: Callable[[], object], process: subprocess.Popen | None = None, timeout: float = 120) -> None:
    """Wait until ``condition()`` is true; fail if the process ends before, or too much time passes."""
    end = time.monotonic() + timeout
    while not condition():
        assert process is None or process.poll() is None, f'it ended before, with status {process.returncode}'
        assert time.monotonic() < end, f'not within {timeout} s'
        time.sleep(0.01)


def same_weights(first: Path, second: Path) -> bool:
    """Return whether two plain checkpoints have the same parameters, bit by bit."""
    one, two = (torch.load(path, weights_only=True)['state_dict'] for path in (first, second))
    return list(one) == list(two) and all(
        x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(one.values(), two.values(), strict=True))


def iterations(output: str) -> list[int]:
    """Return the training iterations that a log shows."""
    return [int(i) for i in re.findall(r'Iter\(train\) \[\s*(\d+)/', output)]


def refused(name: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run a tool that ends before it builds a runner, in this process, which saves the seconds of the imports."""
    out, err, before = io.StringIO(), io.StringIO(), dict(os.environ)
    argv, sys.argv = sys.argv, command(name, *arguments)[1:]
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exit_info:
            runpy.run_path(sys.argv[0], run_name='__main__')
    finally:
        sys.argv = argv
        give_back(handlers)
        os.environ.clear()
        os.environ.update(before)
    return subprocess.CompletedProcess(arguments, exit_info.value.code, out.getvalue(), err.getvalue())


def error_line(result: subprocess.CompletedProcess) -> str:
    """Return the one line of an expected error; fail if there is none, more than one, or another status than 2."""
    lines = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
    assert result.returncode == 2, result.stdout[-2000:] + result.stderr[-3000:]
    assert len(lines) == 1, result.stderr
    assert 'Traceback' not in result.stderr + result.stdout, result.stderr
    return lines[0]


@dataclass(frozen=True)
class Tiny:
    """A folder with data, statistics and config, and the training of 8 iterations in ``work``."""

    folder: Path
    config: Path
    stats: Path
    data: Path
    work: Path
    output: str


@pytest.fixture(scope='session')
def tiny(tmp_path_factory) -> Tiny:
    return _trained(tmp_path_factory.getbasetemp() / 'tiny')


@cache  # for pytest this is another fixture in every module that imports it
def _trained(folder: Path) -> Tiny:
    data, stats = make_dataset(folder / 'data'), make_report(folder / 'stats.json')
    config = make_config(folder / 'tiny.py', data, stats)
    result = tool('train.py', 'tiny.py', '--work-dir', 'work', cwd=folder)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return Tiny(folder, config, stats, data, folder / 'work', result.stdout)
