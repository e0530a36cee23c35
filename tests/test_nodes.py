"""Where the settings of a config stand, and the losses of its heads."""
from __future__ import annotations

from mmimb.nodes import loss_decodes, nodes

MODEL = dict(
    decode_head=[dict(loss_decode=dict(type='A', class_weight=dict(type='W'))),
                 dict(loss_decode=[dict(type='B'), dict(type='C')])],
    student=dict(auxiliary_head=dict(loss_decode=dict(type='D', inner=dict(loss_decode=dict(type='not a head'))))), neck=None)


def test_places() -> None:
    assert [place for place, _ in nodes(dict(a=[1, dict(b=dict())], c='x'), 'cfg')] == ['cfg', 'cfg.a[1]', 'cfg.a[1].b']
    assert list(nodes(None, 'cfg')) == []


def test_losses_of_heads() -> None:
    found = {place: loss['type'] for place, _, loss in loss_decodes(MODEL)}
    assert found == {'model.decode_head[0].loss_decode': 'A', 'model.decode_head[1].loss_decode[0]': 'B',
                     'model.decode_head[1].loss_decode[1]': 'C', 'model.student.auxiliary_head.loss_decode': 'D'}
    assert all(head['loss_decode'] in (loss, [dict(type='B'), dict(type='C')]) for _, head, loss in loss_decodes(MODEL))
