# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The page is whole, safe and complete, whatever is missing.
"""

import base64
import hashlib
import re
import struct
import time
import zlib
from html.parser import HTMLParser

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import CCDData

from clustercnn import CandidateCatalog, CutoutMaker
from clustercnn.core import BandStack, CutoutStack
from clustercnn.report import write_report
from clustercnn.report._pictures import (
    contour_paths,
    optical_picture,
    png_uri,
    smooth,
    xray_picture,
)
from clustercnn.testing import tiny_catalog, tiny_image, tiny_prediction, tiny_stack, tiny_wcs

HOSTILE = '<script>alert("x")</script>&\'"'
VOID = {'meta', 'img', 'br'}


class Page(HTMLParser):
    """
    What is in a page, and whether its tags nest.
    """

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ('style', 'script'):
            self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def classified(n_rows=6):
    catalog = tiny_catalog(n_rows)
    prediction = tiny_prediction(n_rows)
    return catalog.with_columns(**prediction.columns(), rank=np.arange(1, n_rows + 1))


def optical():
    rng = np.random.default_rng(2)
    return CCDData(
        rng.normal(1000, 10, (200, 200)),
        unit='adu',
        wcs=tiny_wcs(shape=(200, 200), pixel_scale=2.0),
        meta={'path': HOSTILE},
    )


def written(tmp_path, **changes):
    image = tiny_image(shape=(128, 128))
    catalog = changes.pop('catalog', classified())
    arguments = {
        'catalog': catalog,
        'stack': CutoutMaker()({'xray': image, 'optical': optical()}, catalog),
        'image': image,
        'meta': {'seed': 3},
    }
    write_report(tmp_path / 'report.html', **(arguments | changes))
    text = (tmp_path / 'report.html').read_text(encoding='utf-8')
    return text, Page(text)


def decoded(uri):
    """
    Read a PNG of 8 bits a pixel without filters: codes and palette.
    """
    content = base64.b64decode(uri.split(',')[1])
    assert content[:8] == b'\x89PNG\r\n\x1a\n'
    chunks, place = {}, 8
    while place < len(content):
        (length,) = struct.unpack('>I', content[place : place + 4])
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        (check,) = struct.unpack('>I', content[place + 8 + length : place + 12 + length])
        assert check == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + length
    nx, ny = struct.unpack('>II', chunks[b'IHDR'][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b'IDAT']), np.uint8).reshape(ny, nx + 1)
    assert not rows[:, 0].any()
    palette = np.frombuffer(chunks.get(b'PLTE', b''), np.uint8).reshape(-1, 3)
    return rows[::-1, 1:], palette


def test_page_loads_nothing_and_runs_only_its_own_script(tmp_path):
    text, page = written(tmp_path, optical=optical())
    policy = next(
        meta['content'] for meta in page.all('meta') if meta.get('http-equiv', '').startswith('Con')
    )
    assert "default-src 'none'" in policy
    assert 'unsafe' not in policy
    for tag in ('style', 'script'):
        body = re.search(f'<{tag}>(.*?)</{tag}>', text, re.DOTALL).group(1)
        code = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{code}'" in policy
        assert len(page.all(tag)) == 1
    assert page.all('link') == []
    for tag, attributes in page.tags:
        # what the policy would block must not be there at all
        assert not [name for name in attributes if name.startswith('on') or name == 'style'], tag
        if 'src' in attributes:
            assert attributes['src'].startswith('data:image/png;base64,')
    targets = [link['href'] for link in page.all('a')]
    assert all(target.startswith(('#', 'https://')) for target in targets)
    anchors = {attributes['id'] for _, attributes in page.tags if 'id' in attributes}
    assert {target[1:] for target in targets if target.startswith('#')} <= anchors


def test_page_says_how_wide_the_stamps_of_each_band_are(tmp_path):
    stack = tiny_stack()
    text, _ = written(tmp_path, stack=stack)
    assert 'east is left, 1.1&prime; across. X-ray counts' in text
    xray, other = stack.bands.values()
    wide = BandStack(name='g', data=other.data, pixel_scale=5 * u.arcsec, unit=other.unit)
    both = CutoutStack(ids=stack.ids, bands=[xray, wide], positions=stack.positions)
    (tmp_path / 'report.html').unlink()
    text, page = written(tmp_path, stack=both)
    said = 'east is left, xray 1.1&prime; across, g 2.7&prime; across. X-ray counts'
    assert said in text
    # and each stamp says the same to those who do not see it
    assert sum('1.1 arcmin across' in one['alt'] for one in page.all('img')) == len(stack)
    assert sum('2.7 arcmin across' in one['alt'] for one in page.all('img')) == len(stack)


def test_every_candidate_is_in_the_table_with_its_numbers(tmp_path):
    catalog = classified()
    _, page = written(tmp_path, catalog=catalog)
    text = ' '.join(page.text)
    for row in range(len(catalog)):
        assert str(catalog['name'][row]) in text
        assert f'{float(catalog["p_cluster"][row]):.3f}' in text
    assert 'blended' not in text
    assert 'within two PSF widths of the edge of the exposed field' in text
    images = page.all('img')
    assert len(images) == 1 + 2 * len(catalog)
    assert all(len(image['alt']) > 20 for image in images)


def test_text_from_outside_is_escaped(tmp_path):
    catalog = classified().with_columns(name=[HOSTILE] * 6)
    image = tiny_image(shape=(128, 128)).replace(
        mission=HOSTILE, instrument=HOSTILE, meta={'path': HOSTILE}
    )
    meta = {
        'created': HOSTILE,
        'inputs': {HOSTILE: {'path': HOSTILE, HOSTILE: 1}},
        'versions': {'clustercnn': HOSTILE, HOSTILE: HOSTILE},
        'options': {HOSTILE: [HOSTILE]},
        'timings': {HOSTILE: 1.0},
        'counts': {HOSTILE: 1, 'dropped': {HOSTILE: 2}},
        'notes': [HOSTILE],
        HOSTILE: HOSTILE,
    }
    text, page = written(tmp_path, catalog=catalog, image=image, meta=meta, optical=optical())
    assert HOSTILE not in text
    assert 'alert("x")' not in text
    assert len(page.all('script')) == 1
    assert HOSTILE in ''.join(page.text)


@pytest.mark.parametrize('source', [{'path': 'plate.fits'}, 'plate.fits'])
def test_the_optical_image_is_named(tmp_path, source):
    # readers of images keep no path, records do
    plate = optical()
    plate.meta.clear()
    text, _ = written(tmp_path, optical=plate, meta={'inputs': {'optical': source}})
    assert 'plate.fits, 200 x 200 pixels' in text
    text, _ = written(tmp_path, optical=plate, meta={}, overwrite=True)
    assert 'given, 200 x 200 pixels' in text


def test_provenance_is_stated(tmp_path):
    digest = 'ab' * 32
    meta = {
        'inputs': {'xray': {'path': 'a.fits', 'bytes': 17, 'sha256': digest}},
        'versions': {'numpy': '2.9.9'},
        'seed': 42,
        'options': {'threshold': 5.5},
        'timings': {'find': 2.25},
        'counts': {'found': 6, 'dropped': {'too faint': 3}},
        'notes': ['no exposure map'],
    }
    _, page = written(tmp_path, meta=meta)
    text = ''.join(page.text)
    for part in (digest, '2.9.9', '42', '5.5', '2.25', 'too faint: 3', 'no exposure map'):
        assert part in text


def test_no_candidates(tmp_path):
    text, page = written(tmp_path, catalog=CandidateCatalog.empty(), stack=None, meta={})
    assert 'Nothing was found' in text
    assert len(page.all('img')) == 1


def test_no_predictions_and_no_optical_image(tmp_path):
    image = tiny_image(shape=(128, 128))
    catalog = tiny_catalog()
    stack = CutoutMaker()({'xray': image}, catalog)
    text, page = written(tmp_path, catalog=catalog, stack=stack)
    assert 'p_cluster' not in ''.join(page.text)
    assert text.count('no optical image') == len(catalog)


def test_candidates_without_cutouts_and_off_the_optical_image(tmp_path):
    image = tiny_image(shape=(128, 128))
    catalog = classified()
    far = CCDData(np.ones((50, 50)), unit='adu', wcs=tiny_wcs(ra=200.0, shape=(50, 50)))
    stack = CutoutMaker()({'xray': image, 'optical': far}, catalog)[:4]
    text, _ = written(tmp_path, catalog=catalog, stack=stack)
    assert text.count('no optical image here') == 4
    assert text.count('no cutout') == 2


def test_candidates_without_numbers_and_flags(tmp_path):
    catalog = CandidateCatalog.from_columns(ra=[150.0], dec=[2.0])
    text, page = written(tmp_path, catalog=catalog)
    assert 'nan' not in ' '.join(page.text).lower()
    assert 'data-sort="nan"' not in text


def test_existing_file_is_kept(tmp_path):
    (tmp_path / 'report.html').write_text('mine')
    with pytest.raises(FileExistsError, match='exists already'):
        written(tmp_path)
    assert (tmp_path / 'report.html').read_text() == 'mine'
    text, _ = written(tmp_path, overwrite=True)
    assert text.startswith('<!DOCTYPE html>')
    assert [path.name for path in tmp_path.iterdir()] == ['report.html']


def test_same_input_gives_the_same_page(tmp_path):
    one, _ = written(tmp_path)
    other, _ = written(tmp_path, overwrite=True)
    assert one == other


def test_hundred_candidates_are_fast_and_small(tmp_path):
    catalog = classified(100)
    started = time.perf_counter()
    text, page = written(tmp_path, catalog=catalog, n_show=100)
    assert time.perf_counter() - started < 8
    assert len(text) < 6e6
    assert len(page.all('img')) == 201


def test_image_without_exposure_anywhere(tmp_path):
    image = tiny_image(shape=(128, 128))
    image = image.replace(exposure=np.zeros(image.shape))
    catalog = classified()
    stack = CutoutMaker()({'xray': image}, catalog)
    text, _ = written(tmp_path, image=image, stack=stack)
    assert 'no xray image here' in text


def test_png_holds_the_codes_with_row_0_at_the_bottom():
    codes = np.arange(12, dtype=np.uint8).reshape(3, 4)
    palette = np.arange(36, dtype=np.uint8).reshape(12, 3)
    read, colors = decoded(png_uri(codes, palette=palette))
    np.testing.assert_array_equal(read, codes)
    np.testing.assert_array_equal(colors, palette)
    pillow = pytest.importorskip('PIL.Image')
    import io

    picture = pillow.open(io.BytesIO(base64.b64decode(png_uri(codes, palette=palette)[22:])))
    np.testing.assert_array_equal(np.asarray(picture.convert('RGB'))[0, 0], palette[8])


def test_sources_stand_out_and_masked_pixels_are_grey():
    y, x = np.mgrid[:40, :40]
    data = 0.2 + 20 * np.exp(-((x - 12) ** 2 + (y - 25) ** 2) / 8)
    mask = np.zeros(data.shape, bool)
    mask[:5] = True
    codes, palette = decoded(xray_picture(data, mask))
    # the highest permille of the pixels share the brightest colour
    brightest = np.argwhere(np.where(mask, 0, codes) == codes[5:].max())
    np.testing.assert_allclose(brightest.mean(axis=0), [25, 12], atol=0.6)
    assert (codes[:5] == len(palette) - 1).all()
    assert (codes[5:] < len(palette) - 1).all()
    plate, _ = decoded(optical_picture(1000 + 50 * data, mask))
    darkest = np.argwhere(np.where(mask, 255, plate) == plate[5:].min())
    np.testing.assert_allclose(darkest.mean(axis=0), [25, 12], atol=0.6)


def test_empty_stamps_look_empty():
    data = np.zeros((32, 32))
    data[10, 10] = 1
    codes, _ = decoded(xray_picture(data, np.zeros(data.shape, bool)))
    faint = codes.mean()
    bright, _ = decoded(xray_picture(data * 100, np.zeros(data.shape, bool)))
    assert faint < 10
    assert bright.max() > 200
    assert decoded(optical_picture(data, np.ones(data.shape, bool)))[0].std() == 0


def test_contours_surround_the_source_and_spare_the_noise():
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:64, :64]
    source = 4 * np.exp(-((x - 40.0) ** 2 + (y - 22.0) ** 2) / 18)
    good = np.zeros(x.shape, bool)
    lines = contour_paths(rng.poisson(0.1 + source), good)
    assert lines
    points = np.concatenate(lines)
    assert np.abs(np.median(points, axis=0) - [40, 22]).max() < 3
    noise = [contour_paths(rng.poisson(0.5, x.shape), good, levels=(4.0,)) for _ in range(20)]
    assert sum(map(len, noise)) <= 6


def test_smoothing_leaves_out_bad_pixels():
    data = np.full((20, 20), 3.0)
    data[8, 8] = np.nan
    good = np.isfinite(data)
    np.testing.assert_allclose(smooth(data, good, 2.0)[4:16, 4:16], 3.0)


def test_units_of_exposure_are_stated(tmp_path):
    image = tiny_image(shape=(128, 128))
    image = image.replace(exposure_unit=u.Unit('cm2 s'))
    text, _ = written(tmp_path, image=image)
    assert 'cm2 s' in text
