"""Questions about the way a decode head, a sampler, a compiler or a checkpoint deals with a loss."""
from __future__ import annotations

import copy
import inspect
import pickle
from types import SimpleNamespace

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from .questions import expect, question, refused, same
from .tested_loss import IGNORE, Subject, call, value_and_grad

HEAD_ARGUMENTS = ('weight', 'avg_factor', 'reduction_override', 'ignore_index')


@question
def signature(subject: Subject) -> None:
    """forward(logits, target, weight, avg_factor, reduction_override, ignore_index), nothing swallowed"""
    parameters = list(inspect.signature(subject.build().forward).parameters.values())
    expect(all(p.kind is not p.VAR_KEYWORD for p in parameters), 'forward has **kwargs: a misspelt argument is swallowed')
    names = [p.name for p in parameters[2:]]
    missing = [name for name in HEAD_ARGUMENTS if name not in names]
    expect(not missing, f'forward lacks {missing}')


@question
def loss_name(subject: Subject) -> None:
    """has a loss_name that mmseg adds to the total"""
    name = getattr(subject.build(), 'loss_name', '')
    expect(str(name).startswith('loss_'), f'loss_name is {name!r}')


@question
def unknown_reduction(subject: Subject) -> None:
    """an unknown reduction is refused by name"""
    refused(lambda: call(subject.build(), *subject.batch(), reduction_override='avg'), 'avg')
    refused(lambda: subject.build(reduction='avg'), 'avg')


@question
def points(subject: Subject) -> None:
    """(N, C, P) logits of points, as PointRend has them, mean the same as a map"""
    logits, target = subject.batch()
    same(call(subject.build(), logits.flatten(2), target.flatten(1)), call(subject.build(), logits, target), '(N, C, P)')


@question
def rows(subject: Subject) -> None:
    """(N, C) logits of pixels mean the same as a map"""
    logits, target = subject.batch()
    rows = logits.permute(0, 2, 3, 1).reshape(-1, subject.num_classes)
    same(call(subject.build(), rows, target.flatten()), call(subject.build(), logits, target), '(N, C)')


@question
def binary(subject: Subject) -> None:
    """(N, 1, H, W) logits with labels 0, 1 and 255 are accepted"""
    logits, target = subject.batch()
    target = torch.where(target == IGNORE, target, target % 2)
    value, grad = value_and_grad(subject.build(), logits[:, :1], target)
    expect(value.isfinite() and grad.abs().sum() > 0, 'no finite value with a gradient')


@question
def positional(subject: Subject) -> None:
    """loss(logits, target), as PIDNet and DDRNet call it, ignores 255"""
    logits, target = subject.batch()
    ignored = (target == IGNORE).unsqueeze(1)
    loss = subject.build()
    same(loss(logits + 3 * ignored * logits.flip(1), target), loss(logits, target), 'value after other logits at 255')


@question
def ignore_index(subject: Subject) -> None:
    """ignores the label that the head says, whichever it is"""
    logits, target = subject.batch()
    value, grad = value_and_grad(subject.build(), logits, target)
    for label in (254, -100):
        other = torch.where(target == IGNORE, label, target)
        other_value, other_grad = value_and_grad(subject.build(), logits, other, ignore_index=label)
        same(other_value, value, f'value with ignore_index={label}')
        same(other_grad, grad, f'gradient with ignore_index={label}')


@question
def ohem_sampler(subject: Subject) -> None:
    """mmseg's OHEMPixelSampler can rank pixels by it"""
    from mmseg.structures.sampler import OHEMPixelSampler
    logits, target = subject.batch()
    head = SimpleNamespace(loss_decode=subject.build(), ignore_index=IGNORE)
    before = copy.deepcopy(head.loss_decode.state_dict())
    chosen = OHEMPixelSampler(head, thresh=None, min_kept=5).sample(logits, target.unsqueeze(1))
    expect(chosen.shape == target.shape and int(chosen.sum()) == 10, 'the sampler did not choose 5 pixels per image')
    none = call(head.loss_decode, logits, target, reduction_override='none')
    expect(none[chosen > 0].min() >= none[(chosen == 0) & (target != IGNORE)].max(), 'the chosen pixels are not the worst')
    expect(str(before) == str(head.loss_decode.state_dict()), 'sampling changed the state of the loss')


@question
def memory_layout(subject: Subject) -> None:
    """non-contiguous and channels-last logits give the same value and gradient"""
    logits, target = subject.batch()
    value, grad = value_and_grad(subject.build(), logits, target)
    strided = torch.stack([logits, logits], -1)[..., 0]
    for name, view in (('channels-last', logits.to(memory_format=torch.channels_last)), ('non-contiguous', strided)):
        other_value, other_grad = value_and_grad(subject.build(), view, target)
        same(other_value, value, f'value of {name} logits')
        same(other_grad, grad, f'gradient of {name} logits')
    turned = target.transpose(1, 2).contiguous().transpose(1, 2)
    same(call(subject.build(), logits, turned), value, 'value of non-contiguous labels')


@question
def inputs_untouched(subject: Subject) -> None:
    """logits, labels and weights are not written to"""
    logits, target = subject.batch()
    weight = torch.rand(target.shape, dtype=logits.dtype)
    before = logits.clone(), target.clone(), weight.clone()
    value_and_grad(subject.build(), logits, target, weight=weight)
    expect(all(map(torch.equal, before, (logits, target, weight))), 'an input changed')


@question
def label_range(subject: Subject) -> None:
    """a label outside [0, C) that is not ignore_index is refused by its value"""
    logits, target = subject.batch()
    for wrong in (subject.num_classes, 254, -1):
        target[0, 4, 4] = wrong
        refused(lambda: call(subject.build(), logits, target), str(wrong))


@question
def no_host_sync(subject: Subject) -> None:
    """forward and backward never wait for the device"""
    loss = subject.build()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        logits, target = (mode.from_tensor(t) for t in subject.batch(dtype=torch.float32))
        value_and_grad(loss, logits, target)


@question
def compiles(subject: Subject) -> None:
    """torch.compile(fullgraph=True) gives the same value and gradient"""
    logits, target = subject.batch()
    value, grad = value_and_grad(subject.build(), logits, target)
    torch._dynamo.reset()
    loss = subject.build()
    compiled = torch.compile(lambda z, y: call(loss, z, y), fullgraph=True, backend='aot_eager')
    leaf = logits.clone().requires_grad_()
    result: Tensor = compiled(leaf, target)
    result.backward()
    same(result, value, 'compiled value')
    same(leaf.grad if leaf.grad is not None else torch.zeros(()), grad, 'compiled gradient')


@question
def copies(subject: Subject) -> None:
    """it can be pickled and deep-copied, and the copy gives the same"""
    logits, target = subject.batch(ignored=False)  # so that every loss can be called in the plainest way
    loss = subject.build()
    want = loss(logits, target)
    for twin in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        same(twin(logits, target), want, 'value of a copy')


@question
def state(subject: Subject) -> None:
    """its state_dict holds only what it declares"""
    loss = subject.build()
    loss(*subject.batch(ignored=False))
    extra = set(loss.state_dict()) - subject.state
    expect(not extra, f'undeclared state {sorted(extra)}')
