"""The check of a config: what would stop its training before the first iteration."""
from __future__ import annotations

import os
import warnings

from .check import CONFIG, FAILURE, OK, WARNING, Answer, check


@check('config', 'MMIMB_TRACEBACK=1 mmimb train CONFIG shows where it fails')
def config() -> Answer:
    path = os.environ.get(CONFIG)
    if not path:
        return Answer(OK, 'none was given')
    from ..engine.check_classes import check_classes
    from ..engine.check_heads import check_heads
    from ..engine.check_losses import check_losses
    from ..engine.config import TRAIN_KEYS, check_datasets, read_config
    from ..engine.embed_stats import embed_stats
    from ..engine.errors import EXPECTED, describe
    from ..engine.evaluators import check_evaluators
    from ..scan.build import build_split
    seen: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            cfg = read_config(path, required=TRAIN_KEYS)
            check_heads(cfg)
            check_datasets(cfg, 'train', 'val')
            for split in ('train', 'val'):
                if cfg.get(f'{split}_dataloader'):
                    dataset = build_split(cfg, split)
                    seen.append(f'{len(dataset)} images to {"train" if split == "train" else "validate"}')
                    dataset[0]
            notices = embed_stats(cfg)
            check_losses(cfg)
            notices += check_classes(cfg) + check_evaluators(cfg)
    except (*EXPECTED, KeyError, AssertionError, RuntimeError) as error:
        detail = getattr(error, 'detail', '')
        return Answer(FAILURE, f'{path}: {describe(error)}', ' '.join(str(detail).split()) or 'correct the config or the path')
    if notices:
        return Answer(WARNING, f'{path}: {"; ".join(notices)}', 'look at the places that are named')
    return Answer(OK, f'{path}: {", ".join(seen)}, one of each loaded; statistics and losses fit')
