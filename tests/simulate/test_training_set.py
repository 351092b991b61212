# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Sets of fields on disk and of labelled cutouts: reproducible, resumable, and
nothing left out without saying so.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from scipy import ndimage

from clustercnn.core import BandStack, CandidateCatalog, CutoutStack
from clustercnn.exceptions import TrainingError
from clustercnn.simulate import (
    SimulatedField,
    SimulationConfig,
    field_seed,
    simulate_fields,
    simulate_training_set,
)

PLAIN = SimulationConfig(optical=None, exposure=10 * u.ks)


def find_peaks(image):
    smooth = ndimage.gaussian_filter(image.counts, 1.5)
    peaks = (smooth == ndimage.maximum_filter(smooth, 9)) & (smooth > 4 * np.median(smooth) + 0.3)
    y, x = np.nonzero(peaks & image.valid)
    sky = image.pixel_to_sky(x, y)
    return CandidateCatalog.from_columns(ra=sky.ra.deg, dec=sky.dec.deg, x=x, y=y)


def find_nothing(image):
    return CandidateCatalog.empty()


def cut_xray(images, catalog, drop=0):
    image = images['xray']
    x, y = (np.rint(v).astype(int) for v in image.sky_to_pixel(catalog.positions))

    def cut(plane):
        padded = np.pad(plane, 8)
        return np.stack([padded[j : j + 16, i : i + 16] for i, j in zip(x, y, strict=True)])

    exposure = None if image.exposure is None else cut(image.exposure)
    band = BandStack(
        name='xray', data=cut(image.counts), pixel_scale=4 * u.arcsec, unit=u.ct, exposure=exposure
    )
    stack = CutoutStack(ids=catalog.ids, bands=[band])
    return stack[drop:] if drop else stack


def test_training_set_is_labelled_and_reproducible():
    options = {'n_fields': 3, 'seed': 5, 'config': PLAIN, 'progress': False}
    one = simulate_training_set(find=find_peaks, cut=cut_xray, **options)
    stack, labels, field = one
    assert stack.ids == tuple(labels.ids)
    assert set(field) == {0, 1, 2}
    assert all(name.startswith(f'{n:05d}-') for name, n in zip(stack.ids, field, strict=True))
    assert labels.known.all()
    assert sum(one.summary['n_kept'].values()) == len(one) == one.summary['n_detections']
    assert one.matches['kept'].all()
    two = simulate_training_set(find=find_peaks, cut=cut_xray, **options)
    np.testing.assert_array_equal(two.stack['xray'], stack['xray'])
    assert two.labels.names() == labels.names()
    # the first fields of a larger set are the same
    options['n_fields'] = 1
    small = simulate_training_set(find=find_peaks, cut=cut_xray, **options)
    np.testing.assert_array_equal(small.stack['xray'], stack['xray'][field == 0])


def test_thinning_reports_what_it_leaves_out():
    thin = simulate_training_set(
        n_fields=3,
        seed=5,
        config=PLAIN,
        find=find_peaks,
        cut=cut_xray,
        max_share=1.0,
        progress=False,
    )
    kept, out = thin.summary['n_kept'], thin.summary['n_thinned_out']
    assert kept['point'] <= kept['cluster']
    assert 'cluster' not in out
    assert sum(kept.values()) + sum(out.values()) == thin.summary['n_detections']
    assert len(thin.matches) == thin.summary['n_detections']
    assert thin.matches['kept'].sum() == len(thin)


def test_lost_cutouts_are_counted():
    made = simulate_training_set(
        n_fields=1,
        seed=5,
        config=PLAIN,
        find=find_peaks,
        cut=lambda images, catalog: cut_xray(images, catalog, drop=2),
        progress=False,
    )
    assert made.summary['n_without_cutout'] == 2
    assert len(made) == made.summary['n_detections'] - 2


def test_fields_without_exposure_map_leave_the_others_theirs():
    def settings(seed):
        return PLAIN.replace(exposure_map=seed == field_seed(5, 0))

    made = simulate_training_set(
        n_fields=2, seed=5, config=settings, find=find_peaks, cut=cut_xray, progress=False
    )
    exposure = made.stack.band('xray').exposure
    assert exposure is not None
    assert exposure[made.field == 0].max() > 1000
    assert exposure[made.field == 1].max() == 1


def cut_all(images, catalog):
    stack = cut_xray(images, catalog)
    if 'optical' not in images:
        return stack
    plate = np.full((len(stack), 8, 8), np.median(images['optical'].data), np.float32)
    optical = BandStack(name='optical', data=plate, pixel_scale=1 * u.arcsec, unit=u.adu)
    return stack.replace(bands=[*stack.bands.values(), optical])


def test_fields_without_an_optical_image_leave_the_others_theirs():
    seeds = [field_seed(5, index) for index in range(2)]

    def config(seed):
        return PLAIN.replace(optical='plate' if seed == seeds[1] else None)

    result = simulate_training_set(
        find=find_peaks, cut=cut_all, n_fields=2, seed=5, config=config, progress=False
    )
    optical = result.stack.band('optical')
    np.testing.assert_array_equal(optical.present, result.field == 1)
    assert (optical.data[result.field == 1] > 0).all()


def test_no_detections_at_all():
    with pytest.raises(TrainingError, match='no source was found in 1 simulated fields'):
        simulate_training_set(
            n_fields=1, seed=1, config=PLAIN, find=find_nothing, cut=cut_xray, progress=False
        )


def test_folders_resume(tmp_path, monkeypatch):
    options = {'seed': 9, 'config': PLAIN, 'progress': False}
    simulate_fields(tmp_path, n_fields=1, **options)
    stamp = (tmp_path / 'field_00000' / 'xray.fits').stat().st_mtime_ns
    # an interrupted field has no field.json
    (tmp_path / 'field_00001').mkdir()
    (tmp_path / 'field_00001' / 'xray.fits').write_text('half')
    index = simulate_fields(tmp_path, n_fields=2, **options)
    assert (tmp_path / 'field_00000' / 'xray.fits').stat().st_mtime_ns == stamp
    assert index['field'].tolist() == ['field_00000', 'field_00001']
    on_disk = Table.read(tmp_path / 'fields.ecsv')
    assert on_disk['seed'].tolist() == [field_seed(9, 0), field_seed(9, 1)]
    assert on_disk.meta['simulated']
    field = SimulatedField.read(tmp_path / 'field_00001')
    assert field.xray.n_counts == index['n_counts'][1]


def test_folders_of_another_seed_are_not_mixed(tmp_path):
    simulate_fields(tmp_path, n_fields=1, seed=9, config=PLAIN, progress=False)
    with pytest.raises(FileExistsError, match='another seed, mission or configuration'):
        simulate_fields(tmp_path, n_fields=1, seed=10, config=PLAIN, progress=False)
    index = simulate_fields(
        tmp_path, n_fields=1, seed=10, config=PLAIN, overwrite=True, progress=False
    )
    assert index['seed'][0] == field_seed(10, 0)


@pytest.mark.parametrize('number', [0, -1, 1.5])
def test_wrong_number_of_fields(number, tmp_path):
    with pytest.raises(ValueError, match="'n_fields' must be"):
        simulate_fields(tmp_path, n_fields=number, seed=1, progress=False)
