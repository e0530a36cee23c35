"""The kinds of findings of the label audit: their severity, the file they are about, and a title."""
from __future__ import annotations

from typing import NamedTuple

ERROR, WARNING, NOTE = 'error', 'warning', 'note'
LABEL, IMAGE, DATASET = 'label', 'image', 'dataset'


class Kind(NamedTuple):
    """What a finding is.

    Args:
        severity: ``'error'`` (training fails or learns nonsense), ``'warning'`` (worth a look), ``'note'`` (not checked).
        about: ``'label'``, ``'image'`` or ``'dataset'``: the file that the report names.
        title: What was found.
    """

    severity: str
    about: str
    title: str


FINDINGS = {
    'missing_label': Kind(ERROR, LABEL, 'images without a label file'),
    'missing_image': Kind(ERROR, LABEL, 'labels without an image file'),
    'unreadable_label': Kind(ERROR, LABEL, 'labels that cannot be decoded'),
    'unreadable_image': Kind(ERROR, IMAGE, 'images that cannot be opened'),
    'truncated_label': Kind(ERROR, LABEL, 'labels whose file is cut short'),
    'damaged_label': Kind(ERROR, LABEL, 'labels whose file has a wrong checksum'),
    'not_one_channel': Kind(ERROR, LABEL, 'labels that are not one channel of integers'),
    'wide_values': Kind(ERROR, LABEL, 'labels with values that do not fit 8 bits, which training changes silently'),
    'lossy_label': Kind(WARNING, LABEL, 'labels in a lossy format'),
    'outside_classes': Kind(ERROR, LABEL, 'labels with values outside the class list'),
    'size_mismatch': Kind(ERROR, LABEL, 'labels of another size than their image'),
    'in_both_splits': Kind(ERROR, IMAGE, 'files that training and validation share'),
    'only_0_and_255': Kind(ERROR, DATASET, 'labels that hold 0 and 255 only, where 255 is ignored'),
    'only_in_crops': Kind(ERROR, DATASET, 'classes that crops hold although the counts say they never occur'),
    'reduce_zero_label': Kind(WARNING, DATASET, '`reduce_zero_label` does not fit the labels'),
    'empty_label': Kind(WARNING, LABEL, 'labels without a labelled pixel'),
    'unsteady_label': Kind(WARNING, LABEL, 'labels that a transform of your own drops, or changes at random'),
    'class_never_seen': Kind(WARNING, DATASET, 'classes that never occur'),
    'unlisted_label': Kind(WARNING, LABEL, 'label files without an image'),
    'duplicate_label': Kind(WARNING, LABEL, 'labels with the content of another'),
    'duplicate_image': Kind(WARNING, IMAGE, 'images with the content of another'),
    'near_duplicate': Kind(WARNING, IMAGE, 'images that nearly equal one of the other split'),
    'not_checked': Kind(NOTE, DATASET, 'what could not be checked'),
}
