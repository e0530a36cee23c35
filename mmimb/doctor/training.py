"""Checks that train in small: pipeline, losses, checkpoint, kernels, workers, two processes."""
from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from .check import FAILURE, OK, WARNING, Answer, check

TOLERANCE = 1e-4
GROUP_SECONDS = 90
INTERFACE = 'export GLOO_SOCKET_IFNAME=lo (one machine), or the interface that joins your machines'


@check('pipeline', "pip install 'numpy<2' helps if the message names numpy; else install the stack again")
def pipeline() -> Answer:
    import numpy
    from mmengine.dataset import Compose
    from mmengine.registry import init_default_scope
    from mmseg.utils import register_all_modules
    from PIL import Image
    register_all_modules(init_default_scope=False)
    init_default_scope('mmseg')
    steps: list[Any] = [{'type': name} for name in ('LoadImageFromFile', 'LoadAnnotations')] + [
        {'type': 'RandomResize', 'scale': (64, 48), 'ratio_range': (1.0, 2.0), 'keep_ratio': True},
        {'type': 'RandomCrop', 'crop_size': (32, 32), 'cat_max_ratio': 0.75}, {'type': 'RandomFlip', 'prob': 0.5},
        {'type': 'PhotoMetricDistortion'}, {'type': 'PackSegInputs'}]
    labels = numpy.arange(48 * 64, dtype=numpy.uint8).reshape(48, 64) % 5
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(labels).save(f'{folder}/label.png')
        Image.fromarray(numpy.stack([labels * 40] * 3, -1)).save(f'{folder}/image.png')
        data = Compose(steps)({'img_path': f'{folder}/image.png', 'seg_map_path': f'{folder}/label.png',
                               'reduce_zero_label': False, 'seg_fields': [], 'label_map': None})
    shape, values = tuple(data['inputs'].shape), set(data['data_samples'].gt_sem_seg.data.unique().tolist())
    good = shape == (3, 32, 32) and values <= set(range(5))
    return Answer(OK if good else FAILURE, 'images are loaded, resized, cropped and packed' if good else
                  f'wrong result: {shape} with labels {sorted(values)}', '' if good else 'install the stack again')


@check('losses', 'install mmimb and its stack again: bash tools/setup.sh')
def losses() -> Answer:
    import numpy
    import torch
    from mmseg.registry import MODELS

    from .. import registry  # noqa: F401  (registers the scope)
    values = numpy.random.default_rng(0).normal(size=(2, 5, 6, 7))
    labels = numpy.random.default_rng(1).integers(0, 5, (2, 6, 7))
    shares = values - numpy.log(numpy.exp(values).sum(1, keepdims=True))
    expected = -numpy.take_along_axis(shares, labels[:, None], 1).mean()
    devices = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]
    kinds = {'type': 'mmimb.CrossEntropyLoss'}, {'type': 'mmimb.OutlyingMSELoss', 'stats': {'pixels': [50, 9, 7, 2, 1]}}
    for device in devices:
        for kind in kinds:
            logits = torch.tensor(values, dtype=torch.float32, device=device, requires_grad=True)
            loss = MODELS.build(kind).to(device)(logits, torch.tensor(labels, device=device))
            loss.backward()
            gradient = logits.grad
            if gradient is None or not bool(torch.isfinite(gradient).all() & gradient.any()):
                return Answer(FAILURE, f'{kind["type"]} has no usable gradient on {device}', 'report this page as a bug')
            if kind['type'] == 'mmimb.CrossEntropyLoss' and abs(float(loss.detach()) - expected) > TOLERANCE:
                return Answer(FAILURE, f'cross-entropy is {float(loss.detach()):.6f} on {device} instead of {expected:.6f}',
                              'report this page as a bug')
    return Answer(OK, f'forward and backward on {" and ".join(devices)}')


@check('checkpoints', 'install torch and the stack again')
def checkpoints() -> Answer:
    import pickle

    import torch
    from mmengine.logging import HistoryBuffer

    from ..hooks.plain_checkpoint import from_plain, to_plain
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    history = HistoryBuffer()
    history.update(0.5)
    content = {'state_dict': model.state_dict(), 'optimizer': optimizer.state_dict(), 'message_hub': {'log': history}}
    with tempfile.TemporaryDirectory() as folder:
        plain, stock = Path(folder, 'plain.pth'), Path(folder, 'stock.pth')
        torch.save(to_plain(content), plain)
        torch.save(content, stock)
        back = from_plain(torch.load(plain, weights_only=True))
        try:
            torch.load(stock, weights_only=True)
            others = 'those of the stack, too'
        except (pickle.UnpicklingError, AttributeError, TypeError):
            others = 'those that the stack writes by itself are refused, --trust-checkpoint loads them'
    same = torch.equal(back['state_dict']['weight'], model.weight) and back['message_hub']['log'].current() == 0.5
    return Answer(OK if same else FAILURE, f'ours load without running code; {others}' if same else
                  'a checkpoint came back changed', '' if same else 'report this page as a bug')


@check('kernels', 'pip install triton; without it the ordinary formulas are used')
def kernels() -> Answer:
    import torch
    gpu = torch.cuda.is_available() and torch.version.cuda is not None
    try:
        import triton
    except ImportError as error:
        text = f'Triton cannot be imported ({error}): the ordinary formulas are used'
        return Answer(WARNING, text, 'pip install triton') if gpu else Answer(OK, text)
    if not gpu:
        return Answer(OK, f'Triton {triton.__version__}, but no NVIDIA GPU: the ordinary formulas are used')
    from ..dispatch import kernels_if_any
    from ..functional import adjusted_cross_entropy, upsampled
    kernels = kernels_if_any()
    if kernels is None:
        return Answer(WARNING, f'Triton {triton.__version__}, but mmimb.kernels is not there: the ordinary formulas are used',
                      'install mmimb anew')
    torch.manual_seed(0)
    logits = torch.randn(2, 7, 8, 8, device='cuda')
    reason = kernels.supports('cross_entropy', logits)
    if reason is not None:
        return Answer(WARNING, f'Triton {triton.__version__}, but {reason}', 'the ordinary formulas are used; nothing to do')
    target, factor = torch.randint(0, 7, (2, 32, 32), device='cuda'), torch.full((2, 32, 32), 1 / 2048, device='cuda')
    ours = float(kernels.upsampled_cross_entropy(logits, target, factor))
    eager = float((factor.double() * adjusted_cross_entropy(upsampled.upsample(logits.double(), (32, 32)), target)).sum())
    good = abs(ours - eager) < TOLERANCE
    return Answer(OK if good else FAILURE, f'Triton {triton.__version__}, a kernel gives {ours:.6f}, the formula {eager:.6f}',
                  '' if good else 'pip install the Triton that belongs to this torch')


@check('data loader', 'docker run --shm-size=8g (or --ipc=host), or num_workers=0, persistent_workers=False')
def data_loader() -> Answer:
    import torch
    from torch.utils.data import DataLoader
    data = [torch.full((2**20,), float(i)) for i in range(6)]  # 4 MiB each
    got = [float(batch.mean()) for batch in DataLoader(data, batch_size=2, num_workers=2, timeout=60)]  # type: ignore[arg-type]
    good = got == [0.5, 2.5, 4.5]
    return Answer(OK if good else FAILURE, '2 workers hand over batches' if good else f'batches came back wrong: {got}',
                  '' if good else 'num_workers=0, persistent_workers=False')


@check('two processes', INTERFACE)
def two_processes() -> Answer:
    root = Path(__file__).resolve().parents[2]
    code = f'import sys; sys.path[0] = {str(root)!r}; from mmimb.doctor.training import join_group; join_group(*sys.argv[1:])'
    with tempfile.TemporaryDirectory() as folder:
        group = [subprocess.Popen([sys.executable, '-c', code, f'file://{folder}/store', str(rank)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True) for rank in range(2)]
        try:
            said = [process.communicate(timeout=GROUP_SECONDS) for process in group]
        except subprocess.TimeoutExpired:
            return Answer(FAILURE, f'two processes (gloo) did not meet within {GROUP_SECONDS} s', INTERFACE)
        finally:
            for process in group:
                process.kill()
    if all(out.strip() == '3' for out, _ in said):
        return Answer(OK, 'two processes (gloo) add up their tensors')
    errors = [line for _, error in said for line in error.strip().splitlines()[-1:]]
    return Answer(FAILURE, f'two processes (gloo) could not add up their tensors: {"; ".join(errors)[:200]}',
                  INTERFACE)


def join_group(store: str, rank: str) -> None:
    """Add up ``rank + 1`` over two processes and write the sum; the process ends without taking the interpreter down."""
    import torch
    import torch.distributed as dist
    dist.init_process_group('gloo', init_method=store, rank=int(rank), world_size=2)
    value = torch.tensor(int(rank) + 1)
    dist.all_reduce(value)
    dist.barrier()
    sys.stdout.write(f'{int(value)}\n')
    sys.stdout.flush()
    os._exit(0)
