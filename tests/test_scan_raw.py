"""What the scanner derives from a label file in one decoding is what mmseg's LoadAnnotations makes of it, whatever its type."""
from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image, PngImagePlugin

from mmimb.scan.image_file import loaded_shape, sample_digest
from mmimb.scan.label_file import damage, decode, training_values

BYTES = np.random.default_rng(0).integers(0, 256, (33, 47), np.uint8)
FEW = BYTES % 11
WIDE = np.random.default_rng(1).integers(0, 70000, (33, 47))


def encode(image: Image.Image | np.ndarray, kind: str = 'png', **arguments) -> bytes:
    stream = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(stream, kind, **arguments)
    return stream.getvalue()


def palette(array: np.ndarray) -> Image.Image:
    image = Image.fromarray(array, mode='P')
    image.putpalette([int(v) for v in np.random.default_rng(2).integers(0, 256, 768)])
    return image


def with_text() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text('by', 'hand')
    return info


def exif(orientation: int) -> Image.Exif:
    entries = Image.Exif()
    entries[0x0112] = orientation
    return entries


def of_cv2(array: np.ndarray, suffix: str = '.png', *arguments: int) -> bytes:
    return cv2.imencode(suffix, array, arguments)[1].tobytes()


FILES = {
    'gray': encode(BYTES), 'gray-cv2': of_cv2(BYTES), 'palette': encode(palette(BYTES)),
    'one-bit': encode(Image.fromarray(FEW > 4)), 'palette-4-bit': encode(palette(FEW), bits=4),
    'palette-transparent': encode(palette(BYTES), transparency=3),
    'gray-transparent': encode(BYTES, transparency=5), 'text': encode(BYTES, pnginfo=with_text()),
    'rgb': encode(np.stack([BYTES] * 3, -1)), 'rgba': encode(np.stack([BYTES] * 4, -1)),
    'gray-alpha': encode(Image.merge('LA', [Image.fromarray(BYTES)] * 2)), '16-bit': encode(WIDE.astype(np.uint16)),
    '16-bit-cv2': of_cv2(WIDE.astype(np.uint16)), 'tiff': encode(BYTES, 'tiff'),
    'tiff-16': encode(WIDE.astype(np.uint16), 'tiff'), 'tiff-32': encode(WIDE.astype(np.int32), 'tiff'),
    'tiff-float': encode((WIDE % 251).astype(np.float32), 'tiff'), 'jpeg': encode(BYTES, 'jpeg'),
    'gif': encode(palette(BYTES), 'gif'), 'bmp': encode(BYTES, 'bmp'), 'one-row': encode(BYTES[:1]),
    'turned': encode(BYTES, exif=exif(6)),
}


@pytest.mark.parametrize('settings', [(False, None), (True, None), (False, {0: 3, 3: 0, 7: 255}), (True, {0: 1, 1: 2, 2: 0})],
                         ids=['plain', 'reduced', 'mapped', 'both'])
@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
@pytest.mark.parametrize('name', FILES)
def test_decoding_once_gives_what_training_loads(tmp_path, name, backend, settings) -> None:
    path = tmp_path / 'label'
    path.write_bytes(FILES[name])
    info = dict(seg_map_path=str(path), reduce_zero_label=settings[0], label_map=settings[1], seg_fields=[])
    expected = failed = None
    try:
        expected = LoadAnnotations(imdecode_backend=backend)(info)['gt_seg_map']
    except Exception as error:
        failed = error
    try:
        raw = decode(FILES[name], backend)
    except Exception:
        assert failed is not None
        return
    assert failed is None
    assert raw.shape == expected.shape
    if expected.ndim == 2:
        counts = np.zeros(256, np.int64)
        np.add.at(counts, training_values(*settings)[raw.values.astype(np.uint8)], raw.counts)
        np.testing.assert_array_equal(counts, np.bincount(expected.ravel(), minlength=256))
        assert raw.counts.sum() == expected.size


def test_the_file_types_are_what_they_are_meant_to_be() -> None:
    modes = {name: Image.open(io.BytesIO(data)).mode for name, data in FILES.items()}
    assert {modes[n] for n in ('palette', 'palette-4-bit', 'palette-transparent', 'gif')} == {'P'}
    assert {modes[n] for n in ('16-bit', '16-bit-cv2', 'tiff-16')} <= {'I;16', 'I', 'I;16B'}
    assert (modes['one-bit'], modes['gray-alpha'], modes['tiff-32'], modes['tiff-float']) == ('1', 'LA', 'I', 'F')
    assert all(modes[n] == 'L' for n in ('gray', 'gray-cv2', 'gray-transparent', 'tiff', 'jpeg', 'bmp', 'one-row'))


@pytest.mark.parametrize('name', ['gray', 'gray-cv2', 'palette', '16-bit', 'palette-4-bit', 'turned', 'jpeg', 'gif', 'tiff'])
def test_a_whole_file_shows_no_damage(name) -> None:
    assert damage(FILES[name]) is None


@pytest.mark.parametrize('name', ['gray', 'gray-cv2', 'palette', '16-bit'])
def test_every_cut_and_every_changed_byte_of_a_png_shows(name) -> None:
    data = FILES[name]
    for length in range(8, len(data), 7):
        assert damage(data[:length])[0] == 'truncated_label'
    for at in range(8, len(data), 7):
        changed = bytearray(data)
        changed[at] ^= 0x55
        assert damage(bytes(changed)) is not None
    assert damage(data + b'more') is None  # decoders stop at the last chunk


def test_a_cut_jpeg_shows() -> None:
    assert damage(FILES['jpeg'][:-10])[0] == 'truncated_label'


@pytest.mark.parametrize('orientation', [1, 3, 5, 6, 7, 8])
@pytest.mark.parametrize('kind', ['jpeg', 'png', 'webp'])
@pytest.mark.parametrize('loader', [dict(), dict(imdecode_backend='pillow'), dict(color_type='unchanged'),
                                    dict(color_type='color_ignore_orientation'), dict(color_type='grayscale')], ids=str)
def test_size_from_the_header_is_that_of_the_loaded_image(tmp_path, kind, orientation, loader) -> None:
    path = tmp_path / f'image.{kind}'
    Image.fromarray(np.stack([BYTES] * 3, -1)).save(path, kind, exif=exif(orientation))
    transform = LoadImageFromFile(**loader)
    with path.open('rb') as file:
        assert loaded_shape(file, transform) == transform(dict(img_path=str(path)))['img'].shape[:2]


def test_a_sample_tells_large_files_apart(tmp_path) -> None:
    data = bytearray(np.random.default_rng(3).bytes(300_000))
    path, digests = tmp_path / 'x', []
    for at in (None, 5, 100_000, 200_000, 299_999):
        changed = bytearray(data)
        if at is not None:
            changed[at] ^= 1
        path.write_bytes(changed)
        with path.open('rb') as file:
            digests.append(sample_digest(file))
    path.write_bytes(data + b'1')
    with path.open('rb') as file:
        assert len({*digests, sample_digest(file)}) == 6
    assert all(len(digest) == 16 for digest in digests)
