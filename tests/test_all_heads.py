"""Every registered loss trains every kind of head for 20 iterations, in float32 and under bfloat16 autocast."""
from __future__ import annotations

import math

import pytest
import torch
from cases import CASES, Case
from support.head_cases import HEADS, batch, build, head_cfg, inputs, one_thread  # noqa: F401

STEPS = 20


def train(case: Case, name: str, *, autocast: bool, steps: int = STEPS) -> list[float]:
    """Return the losses of a short training on one batch, the one after the last step included."""
    loss = dict(case.cfg)
    if 'scale' in case.sensitive_to:
        loss['scale'] = 1.0  # as the design says of a linear classifier
    head = build(head_cfg(name, loss))
    head.init_weights()
    feats, samples = batch()
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01)
    values = []
    for _ in range(steps + 1):
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            losses = head.loss(*inputs(name, feats), samples, {})
        total = sum(value for key, value in losses.items() if 'loss' in key)
        optimizer.zero_grad()
        total.backward()
        assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)
        optimizer.step()
        values.append(float(total.detach()))
    assert all(torch.isfinite(p).all() for p in head.state_dict().values())
    return values


@pytest.mark.parametrize('autocast', [False, True], ids=['float32', 'bfloat16'])
@pytest.mark.parametrize('name', HEADS)
@pytest.mark.parametrize('case', CASES, ids=str)
def test_trains(case: Case, name: str, autocast: bool) -> None:
    values = train(case, name, autocast=autocast)
    assert all(map(math.isfinite, values)), values
    assert values[-1] < values[0], values
