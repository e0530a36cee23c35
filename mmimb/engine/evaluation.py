"""Testing a checkpoint: what `mmimb test` does."""
from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import check_writable, write_files
from ..scan.sources import dataset_classes
from ..stack import require_stack
from ..stats import EvaluatedCounts, image_scores
from ..stats.evaluated import SUFFIX
from ..stats.npz import digest, pack
from .check_heads import check_parts
from .checkpoint import check_named_checkpoints, inspect_checkpoint, refused_pickles, set_trust
from .config import TEST_KEYS, check_datasets, read_config, set_work_dir
from .embed_stats import fill_query_weights
from .evaluators import check_evaluators
from .fit import fit_hook
from .launch import leave_group, prepare_launch
from .tuned_file import RECORD

ALLOW = '; --allow-mismatch tests with random parameters in their place'


@dataclass
class TestOptions:
    """The command line of `mmimb test`.

    Args:
        config: Path of the config.
        checkpoint: Path or URL of the weights.
        work_dir: Where logs go; a folder ``test`` in the run's own by default.
        out: JSON file for the metrics.
        show_dir: Folder for pictures of the predictions.
        cfg_options: ``key=value`` overrides.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        local_rank: For launchers that do not set ``LOCAL_RANK``.
        trust_checkpoint: Load a checkpoint that is no plain data.
        logit_adjustment: Correct the classifier for the class frequencies (see :class:`mmimb.engine.posthoc.Correction`).
        stats: The report with the class frequencies.
        tau_normalization: Correct the classifier for the norms of its weights.
        query_adjustment: Where the logit adjustment of a head of queries acts: ``'queries'`` or ``'map'``.
        tta: Average the predictions for the views of the config's ``tta_pipeline``.
        low_memory: Predict class maps without full-resolution logits, for heads other than ``LossHead`` too.
        allow_mismatch: Test a checkpoint although parameters of the decode head are missing in it.
    """

    __test__ = False  # pytest must not collect it

    config: str
    checkpoint: str
    work_dir: str | None = None
    out: str | None = None
    show_dir: str | None = None
    cfg_options: Sequence[str] | None = None
    launcher: str = 'none'
    local_rank: int = 0
    trust_checkpoint: bool = False
    logit_adjustment: float | None = None
    stats: str | None = None
    tau_normalization: float | None = None
    query_adjustment: str | None = None
    tta: bool = False
    low_memory: bool = False
    allow_mismatch: bool = False


def evaluate(options: TestOptions) -> dict[str, Any]:
    """Test a checkpoint and return the report, which is written to ``options.out`` if that is given.

    Returns:
        ``metrics`` (flat keys), ``config`` and ``checkpoint`` (as given), ``seed`` (of the training, if the checkpoint says
        it), ``classes`` of the dataset, ``model_classes`` (those that the model was trained on, if the checkpoint says them),
        ``groups`` (class names by group) if a metric knows them, and the options that changed the model. With ``options.out``
        and a ``LongTailIoUMetric`` also ``areas`` (labelled and predicted pixels per class), ``image_scores``
        (:func:`mmimb.stats.image_scores`) and ``per_image``, the file beside it (:class:`mmimb.stats.EvaluatedCounts`).

    Raises:
        ValueError, TypeError, OSError, ImportError: What the user can mend; nothing is written then.
    """
    require_stack()
    correction = _correction(options)
    _check_low_memory(options)
    set_trust(options.trust_checkpoint)
    cfg = read_config(options.config, overrides=options.cfg_options, required=TEST_KEYS)
    set_work_dir(cfg, options.config, options.work_dir, below='test')
    check_parts(cfg)
    fill_query_weights(cfg)
    check_datasets(cfg, 'test')
    check_evaluators(cfg, 'test')
    content: dict[str, Any] = {}
    if '://' not in options.checkpoint:
        content = inspect_checkpoint(options.checkpoint, trust=options.trust_checkpoint)
    cfg.load_from, cfg.resume = None, False
    check_named_checkpoints(cfg, trust=options.trust_checkpoint)
    cfg.load_from = options.checkpoint
    if options.out is not None:
        check_writable('--out', options.out)
    if options.show_dir is not None:
        _draw(cfg, options.show_dir)
    if options.tta:
        _augment(cfg)
    os.environ.setdefault('LOCAL_RANK', str(options.local_rank))
    notices = _tuned(content, correction) + prepare_launch(cfg, options.launcher)
    runner = build_test_runner(cfg)
    counting = None if options.out is None else _counting_metric(runner)
    runner.register_hook(_hook(correction, options.low_memory))
    for notice in notices:
        runner.logger.warning(notice)
    fit = fit_hook(options.checkpoint, allow_mismatch=options.allow_mismatch, advice=ALLOW)
    runner.register_hook(fit)
    with refused_pickles():
        metrics = runner.test()
    report = _report(runner, metrics, options, fit.meta or {})
    if options.out is not None and runner.rank == 0:
        files: dict[Path, bytes] = {}
        if counting is not None:
            files = _add_counts(report, counting.counts, Path(options.out))
        write_files({**files, Path(options.out): to_json(report)})
    leave_group()
    return report


def to_json(data: Any) -> bytes:
    """Return ``data`` as strict JSON; numbers that are not finite become ``null``."""
    return (json.dumps(_finite(data), indent=2, allow_nan=False) + '\n').encode()


def _counting_metric(runner: Any) -> Any:
    """Return the metric whose counts are kept beside the report: the first one of mmimb that makes a confusion matrix."""
    for metric in runner.test_evaluator.metrics:
        if getattr(metric, 'makes_confusion', False):
            metric.keep_counts = True
            return metric
    return None


def _add_counts(report: dict[str, Any], counts: EvaluatedCounts, out: Path) -> dict[Path, bytes]:
    """Add to a report what follows from the counts of the images, and return the file that holds them."""
    arrays, path = counts.arrays(), out.with_suffix(SUFFIX)
    _, label, prediction = counts.totals(len(report['classes'])).tolist()
    report['areas'] = {name: {'label': label[c], 'prediction': prediction[c]} for c, name in enumerate(report['classes'])}
    scores = image_scores(counts, len(report['classes']))
    report['image_scores'] = {name: round(value, 2) for name, value in scores.items()}
    report.update(per_image=path.name, per_image_sha256=digest(arrays))
    return {path: pack(arrays)}


def _correction(options: TestOptions) -> Any:
    from .posthoc import Correction
    return Correction(options.logit_adjustment, options.tau_normalization, options.stats, options.query_adjustment)


def _check_low_memory(options: TestOptions) -> None:
    """Refuse what reads or shifts the scores beside what makes none."""
    given = [name for name in ('tta', 'logit_adjustment', 'tau_normalization') if getattr(options, name) not in (None, False)]
    if options.low_memory and given:
        name = given[0].replace('_', '-')
        raise ValueError(f'`--low-memory` must be without --{name}, which needs the scores of all classes: drop one of the two')


def build_test_runner(cfg: Any) -> Any:
    """Return the runner of a prepared config, for testing."""
    from mmengine.runner import Runner

    from .. import registry  # noqa: F401  (registers the scope)
    from ..printable import PrintableFilter
    from ..workers import steady_workers

    class TestRunner(Runner):
        """A runner that does not dump its config: the one of the training, with its statistics, may lie in the work folder."""

        def dump_config(self) -> None:
            pass

    with refused_pickles():
        runner = TestRunner.from_cfg(cfg)
    steady_workers(runner)
    runner.logger.addFilter(PrintableFilter())
    return runner


def _hook(correction: Any, low_memory: bool) -> Any:
    from .low_memory import LowMemoryHook
    from .posthoc import correction_hook
    return correction_hook(correction) if correction else LowMemoryHook(low_memory)


def _tuned(content: Mapping[str, Any], correction: Any) -> list[str]:
    record = content.get(RECORD)
    if not correction or not isinstance(record, Mapping) or record.get('family') == 'none':
        return []
    return ['the checkpoint has decision offsets (`mmimb tune`), which correct for the class shares already; this '
            'correction adds to them']


def _report(runner: Any, metrics: Mapping[str, Any], options: TestOptions, meta: Mapping[str, Any]) -> dict[str, Any]:
    classes = list(dataset_classes(runner.test_dataloader.dataset) or ())
    trained = trained_classes(meta)
    if trained and trained != classes:
        runner.logger.warning(f'the model was trained on the classes {trained}, the dataset has {classes}')
    seed = meta.get('seed')
    report = {'metrics': {key: float(value) if hasattr(value, '__float__') else value for key, value in metrics.items()},
              'config': options.config, 'checkpoint': options.checkpoint,
              'seed': seed if isinstance(seed, int) else runner.cfg.get('randomness', {}).get('seed'),
              'classes': classes, **({'model_classes': trained} if trained else {})}
    for option in ('logit_adjustment', 'query_adjustment', 'tau_normalization', 'stats', 'tta', 'low_memory', 'allow_mismatch'):
        if getattr(options, option) not in (None, False):
            report[option] = getattr(options, option)
    for metric in runner.test_evaluator.metrics:
        groups = metric.class_groups() if hasattr(metric, 'class_groups') else {}
        if groups:
            report['groups'] = {name: list(members) for name, members in groups.items()}
            break
    return report


def trained_classes(meta: Mapping[str, Any]) -> list[str]:
    """Return the classes that a model was trained on, empty if the ``meta`` of its checkpoint does not say them."""
    dataset_meta = meta.get('dataset_meta')
    classes = dataset_meta.get('classes') if isinstance(dataset_meta, Mapping) else meta.get('CLASSES')  # of mmseg 0.x
    return [str(name) for name in classes] if isinstance(classes, (list, tuple)) else []


def _draw(cfg: Any, folder: str) -> None:
    """Draw every prediction into ``folder``."""
    hooks = dict(cfg.get('default_hooks') or {})
    hooks['visualization'] = {'type': 'SegVisualizationHook', **(hooks.get('visualization') or {}), 'draw': True,
                              'interval': 1}
    cfg.default_hooks = hooks
    visualizer = {'type': 'SegLocalVisualizer', 'name': 'visualizer', **(cfg.get('visualizer') or {}), 'save_dir': folder}
    backends = list(visualizer.get('vis_backends') or [])
    if not any(backend.get('type') == 'LocalVisBackend' for backend in backends):
        backends.append({'type': 'LocalVisBackend'})
    cfg.visualizer = {**visualizer, 'vis_backends': backends}


def _augment(cfg: Any) -> None:
    """Test on the views of ``tta_pipeline`` with ``tta_model`` around the model, ours unless the config has one."""
    pipeline = cfg.get('tta_pipeline')
    if not pipeline:
        raise ValueError(f'`--tta` must meet a config with a tta_pipeline (see configs/_base_/datasets), got {pipeline!r}')
    cfg.test_dataloader.dataset.pipeline = pipeline
    cfg.model = {'type': 'mmimb.TTAModel', **(cfg.get('tta_model') or {}), 'module': cfg.model}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
