"""Up-sampling at some rows and columns, against bilinear interpolation in numpy."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from support.upsampling import SIZES, interpolate

from mmimb.functional.sampled import upsample_at

PARTS = [(slice(None), slice(None)), (slice(2, None, 4), slice(2, None, 4)), (slice(0, 1), slice(1, 5, 3)),
         (slice(None), slice(2, None, 5))]


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('low', 'high'), SIZES)
def test_some_rows_and_columns_of_the_interpolated_logits(low, high, align_corners) -> None:
    logits = torch.randn(2, 3, *low, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = interpolate(logits.numpy(), high, align_corners)
    for rows, columns in PARTS:
        got = upsample_at(logits.half().double(), high, rows, columns, align_corners)
        assert got.dtype == torch.float32
        single = upsample_at(logits, high, rows, columns, align_corners)
        np.testing.assert_allclose(single, whole[..., rows, columns], atol=1e-5)
        torch.testing.assert_close(upsample_at(logits.half(), high, rows, columns, align_corners), got, rtol=0, atol=0)
