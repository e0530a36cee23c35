"""The documentation says what the code does: a section per loss, its arguments with their defaults, its papers."""
from __future__ import annotations

import csv
import inspect
import re

import pytest
from cases import CASES, QUERY_CASES
from conftest import ROOT
from mmengine.registry import MODELS

from mmimb.losses import SegLoss
from mmimb.testing import check_loss
from mmimb.testing.questions import QUESTIONS
from mmimb.weights import ClassWeight, FixedWeight

TEXT = (ROOT / 'docs/losses.md').read_text()
ON_PIXELS, LOSSES = (sorted({str(case.cfg['type']).removeprefix('mmimb.') for case in cases})
                     for cases in (CASES, CASES + QUERY_CASES))


def section(name: str) -> str:
    found = re.search(rf'^### {name}\n(.*?)(?=^##)', TEXT, re.M | re.S)
    assert found, f'docs/losses.md has no section {name}'
    return found.group(1)


def table(text: str) -> dict[str, str]:
    return dict(re.findall(r'^\| `(\w+)` \| `?(.+?)`? \|', text, re.M))


def own_arguments(kind: type, *skipped: str) -> dict[str, str]:
    init = kind.__dict__.get('__init__')
    parameters = inspect.signature(init).parameters.values() if init else ()
    return {p.name: 'required' if p.default is p.empty else repr(p.default) for p in parameters
            if p.name not in ('self', 'source', *skipped) and p.kind is not p.VAR_KEYWORD}


@pytest.mark.parametrize('name', LOSSES)
def test_section_of_a_loss(name: str) -> None:
    kind = MODELS.get(f'mmimb.{name}')
    text = section(name)
    assert table(text) == own_arguments(kind)
    assert ('No arguments of its own.' in text) == (not own_arguments(kind))
    papers = set(re.findall(r'\b\d{4}\.\d{5}\b', kind.__doc__))
    assert papers == set(re.findall(r'arxiv\.org/abs/(\d{4}\.\d{5})', text))
    assert '`' in text.split('|')[0], 'a formula'
    for argument in own_arguments(kind):
        assert f'{argument}: ' in kind.__doc__, f'the docstring does not describe {argument}'


def test_no_section_without_a_loss() -> None:
    assert sorted(re.findall(r'^### (\w+)$', TEXT, re.M)) == LOSSES


def test_common_arguments() -> None:
    shown = table(TEXT.split('## Which loss')[0])
    assert shown == own_arguments(SegLoss, 'inherited')


def test_every_scheme_is_in_the_table() -> None:
    import mmimb.weights as weights
    kinds = {name: getattr(weights, name) for name in weights.__all__}
    schemes = {name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, ClassWeight)}
    rows = set(re.findall(r'^\| `(\w+)` \|', TEXT.split('## Class weights')[1], re.M))
    assert rows == schemes - {ClassWeight.__name__, FixedWeight.__name__, 'FrequencyWeight'}


def test_cost_table_is_the_result_of_the_benchmark() -> None:
    with (ROOT / 'benchmarks/results/losses_cpu.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert [row['loss'] for row in rows] == ['F.cross_entropy', *ON_PIXELS]
    for row in rows:
        assert f"| {row['loss']} | {row['time_ratio']} × | {row['memory_ratio']} |" in TEXT


def test_contract_table() -> None:
    """The questions in docs/contract.md are those that are asked, and the answers of two stock losses are still these."""
    rows = [[cell.strip() for cell in line.strip('|').split('|')]
            for line in (ROOT / 'docs/contract.md').read_text().splitlines() if line.startswith('|')]
    head, body = rows[0], rows[2:]
    assert [(row[0].strip('`'), row[1]) for row in body] == [
        (name, function.__doc__.splitlines()[0]) for name, function in QUESTIONS.items()]
    for name in ('CrossEntropyLoss', 'DiceLoss'):
        told = {row[0].strip('`'): row[head.index(name)] == '✓' for row in body if row[0] != '`sync_avg`'}
        seen = {a.question: a.verdict == 'holds' for a in check_loss(f'mmseg.{name}', exempt={'sync_avg': 'two processes'})
                if a.question != 'sync_avg'}
        assert told == seen
