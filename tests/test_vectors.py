"""Numbers of the papers' and authors' code, recorded in vectors.json: reproduced in value and gradient, or listed with the
reason why not."""
from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from mmimb import losses
from mmimb.functional import adjusted_binary_cross_entropy, log_odds_bias, rebalancing

DATA = json.loads(Path(__file__).with_name('vectors.json').read_text())
VECTORS = {vector['name']: vector for vector in DATA['vectors']}
NOT_REPRODUCED = {
    'cce/official_HEAD_bf1': 'the code has the sign reversed and adds 1e-7 and 1e-10; see test_complement_sign',
    'cce/official_2020_gamma-1': 'the same code two years earlier; near it in test_complement_sign',
}
MULTI_LABEL = [name for name in VECTORS if name.startswith('db/V') or name.startswith('db/C')]
BUILDERS = {
    'mse_ol': lambda p: losses.OutlyingMSELoss(
        dict(pixels=p['class_counts']), alpha=p['alpha'],
        order='frequent_large' if p['ranks'] == [3, 1, 2] else 'rare_large'),
    'cce': lambda p: losses.ComplementCrossEntropyLoss(gamma=p['gamma']),
    'ldam': lambda p: losses.LDAMLoss(dict(pixels=p['class_counts']), p['max_m'], p['s'], class_weight=p.get('weight'),
                                      normalize='weights'),
    'elm': lambda p: losses.ELMLoss(dict(pixels=p['class_counts']), p['max_m'], p['s'], lam=p['lamda'],
                                    class_weight=p.get('weight'), normalize='weights'),
    'cdb': lambda p: losses.CrossEntropyLoss(class_weight=p['weights']),
}


def dense_db(name: str, p: dict) -> losses.DistributionBalancedLoss:
    stats = dict(pixels=[n * 100 for n in p['class_freq']], images=p['class_freq'], num_images=p['train_num'])
    if name != 'db/dense_image_weights':
        stats = dict(pixels=p['class_freq'])
    return losses.DistributionBalancedLoss(
        stats, 'pixel' if name == 'db/dense_pixel_weights' else 'image',
        'images' if name == 'db/dense_image_weights' else 'pixels', alpha=p['alpha'], beta=p['beta'], mu=p['mu'], lam=p['lam'],
        kappa=p['kappa'], gamma=p['focal_gamma'], balance=p['balance_param'])


def build(name: str) -> losses.PixelLoss:
    params, family = VECTORS[name]['params'], name.split('/')[0]
    if family == 'db':
        return dense_db(name, params)
    if name.startswith('cdb/ImageNetLT'):
        return losses.CrossEntropyLoss(class_weight=params['weights'], normalize='weights')
    return BUILDERS[family](params)


def close(got: torch.Tensor, want: object, message: str) -> None:
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64), rtol=1e-10, atol=1e-14,
                               msg=lambda text: f'{message}: {text}')


@pytest.mark.parametrize('name', [name for name in VECTORS if name not in NOT_REPRODUCED and name not in MULTI_LABEL])
def test_loss(name: str) -> None:
    vector = VECTORS[name]
    logits = torch.tensor(vector['logits'], dtype=torch.float64, requires_grad=True)
    value = build(name)(logits, torch.tensor(vector['target']))
    value.backward()
    close(value.detach(), vector['expected_loss'], 'value')
    close(logits.grad, vector['expected_grad'], 'gradient')


@pytest.mark.parametrize('name', MULTI_LABEL)
def test_distribution_balanced_with_several_labels(name: str) -> None:
    """Images with several labels, as in the paper: more than a segmentation loss is asked, so the functions are."""
    vector, p = VECTORS[name], VECTORS[name]['params']
    counts = torch.tensor(p['class_freq'], dtype=torch.float64)
    positive = torch.tensor(vector['target'], dtype=torch.float64)
    logits = torch.tensor(vector['logits'], dtype=torch.float64, requires_grad=True)
    focal = p['focal']['focal']
    factor = rebalancing(positive, counts, alpha=p['map_param']['alpha'], beta=p['map_param']['beta'],
                         mu=p['map_param']['gamma'])
    loss = adjusted_binary_cross_entropy(
        logits, positive.bool(), bias=log_odds_bias(counts, p['train_num'], p['kappa_effective']),
        lam=p['logit_reg']['neg_scale'], factor=factor, gamma=p['focal']['gamma'] if focal else 0.0)
    loss = (p['focal']['balance_param'] if focal else 1.0) * loss
    loss.mean().backward()
    close(loss.mean().detach(), vector['expected_loss'], 'value')
    close(logits.grad, vector['expected_grad'], 'gradient')
    if 'expected_elementwise' in vector:
        close(loss.detach(), vector['expected_elementwise'], 'elements')


def test_every_vector_is_used_or_explained() -> None:
    used = {name for name in VECTORS if name.split('/')[0] in (*BUILDERS, 'db') and name not in MULTI_LABEL}
    assert used | set(MULTI_LABEL) == set(VECTORS)
    assert set(NOT_REPRODUCED) < used
    assert len(VECTORS) == 34


@pytest.mark.parametrize('name', ['cce/official_HEAD_bf1', 'cce/official_2020_gamma-1'])
def test_complement_sign(name: str) -> None:
    """The authors' code is the paper's formula with ``gamma = (C - 1) / C``, up to its epsilons."""
    vector = VECTORS[name]
    logits = torch.tensor(vector['logits'], dtype=torch.float64)
    classes = logits.shape[1]
    value = losses.ComplementCrossEntropyLoss(gamma=(classes - 1) / classes)(logits, torch.tensor(vector['target']))
    assert value.item() == pytest.approx(vector['expected_loss'], abs=2e-6)


def test_tables_of_camvid() -> None:
    tables = DATA['tables']
    stats = dict(pixels=tables['camvid']['pixels'], images=tables['camvid']['images_with_class'],
                 num_images=tables['camvid']['train_images'])
    close(losses.OutlyingMSELoss(stats, alpha=6).labels, [float(t) for t in tables['camvid_mse_ol_target_alpha6']], 'labels')
    close(losses.LDAMLoss(stats).margin, tables['camvid_ldam_margins_max_m0_5'], 'margins')
    balanced = losses.DistributionBalancedLoss(stats, counts='pixels')
    close(-balanced.bias, tables['camvid_db_bias_kappa0_05_pixel_share'], 'bias of pixel counts')
    balanced = losses.DistributionBalancedLoss(stats)
    want = [float(b) for b in tables['camvid_db_bias_kappa0_05_image_counts']]
    assert want[3] == float('inf')  # the road is in every image: clamped to half an image less
    want[3] = -0.05 * math.log(1 / (1 - 0.5 / 367) - 1)
    close(-balanced.bias, want, 'bias of image counts')
