# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Files are named for what they are, with what is wrong and what to do.
"""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from clustercnn.io import check_files
from clustercnn.testing import (
    tiny_catalog,
    tiny_image,
    tiny_labels,
    tiny_prediction,
    tiny_stack,
    tiny_wcs,
)


def test_real_files(shared_data):
    folder = shared_data / 'xmm_a1835_mos2'
    names = (
        folder / 'P0098010101M2X000BKGMAP3000.FTZ',
        folder / 'P0098010101M2U009IMAGE_3000.FTZ',
        folder / 'P0098010101M2U009EXPMAP3000.FTZ',
        shared_data / 'chandra' / '333_5_evt2_05_8keV.fits.gz',
        shared_data / 'optical' / 'dss_hd219829.fits.gz',
        shared_data / 'optical' / 'ngc2207_spitzer_irac.fits.gz',
        shared_data / 'chandra' / 'ngc2207_chandra_broad_flux.fits.gz',
        shared_data / 'sim_support' / 'xmm_PN_mask.fits.gz',
        shared_data / 'sim_support' / 'SIMULATED_statix_pnevt-imgexp.fits.gz',
        shared_data / 'sim_support' / 'SIMULATED_statix_pnevt-summarylist_DETML6.fits.gz',
        shared_data / 'zooniverse' / 'andromeda-aas229.csv',
        shared_data / 'erosita_efeds_patch' / 'mask.fits.gz',
    )
    reports = check_files(names)
    assert [report.kind for report in reports] == [
        'background map',
        'counts image',
        'exposure map',
        'event list',
        'optical image',
        'optical image',
        'flux image',
        'detection mask',
        'exposure map',
        'source list of emldetect',
        'Zooniverse export',
        'mask',
    ]
    assert [report.ok for report in reports] == [True] * 6 + [False] + [
        True,
        False,
    ] + [True] * 3
    counts = reports[1].facts
    assert counts['mission'] == 'XMM' and counts['counts'] == 36174
    assert counts['size'] == '648 x 648' and counts['pixels of'] == '4 arcsec'
    assert counts['projection'] == 'TAN' and counts['EXPOSURE'].startswith('28337')
    # maps are compared with the first counts image, whatever the order
    assert reports[0].facts['on the grid of'] == str(names[1])
    assert '596 x 596' in reports[8].problems[0]


def test_files_of_ours(tmp_path):
    tiny_catalog().write(tmp_path / 'catalog.fits')
    tiny_catalog().write(tmp_path / 'catalog.ecsv')
    tiny_catalog().write(tmp_path / 'catalog.vot')
    tiny_catalog().write(tmp_path / 'candidates.reg')
    tiny_labels().write(tmp_path / 'labels.ecsv')
    tiny_prediction().write(tmp_path / 'prediction.fits')
    tiny_stack().write(tmp_path / 'cutouts.h5')
    tiny_stack().write(tmp_path / 'cutouts.fits')
    tiny_stack()[0].write(tmp_path / 'cutout.fits')
    tiny_image().write(tmp_path / 'image.fits')
    kinds = {
        'catalog.fits': 'catalogue',
        'catalog.ecsv': 'catalogue',
        'catalog.vot': 'catalogue',
        'candidates.reg': 'regions',
        'labels.ecsv': 'labels',
        'prediction.fits': 'predictions',
        'cutouts.h5': 'cutouts',
        'cutouts.fits': 'cutouts',
        'cutout.fits': 'cutout',
        'image.fits': 'counts image',
    }
    reports = check_files([tmp_path / name for name in kinds])
    assert {report.path.split('/')[-1]: report.kind for report in reports} == kinds
    assert all(report.ok for report in reports)
    by_kind = {report.kind: report.facts for report in reports}
    assert by_kind['cutouts']['cutouts'] == 6
    assert by_kind['labels']['cluster'] == 3


def test_shipped_model():
    from importlib.resources import files

    models = [str(p) for p in files('clustercnn.models').iterdir() if p.suffix == '.safetensors']
    for report in check_files(models):
        assert report.kind == 'model' and report.ok and report.facts['arrays'] > 1


@pytest.mark.parametrize(
    'content', [b'', b'12', bytes(8), b'\xff' * 40, b'\x02' + bytes(7) + b'{}']
)
def test_damaged_model(tmp_path, content):
    (tmp_path / 'a.safetensors').write_bytes(content)
    (report,) = check_files([tmp_path / 'a.safetensors'])
    assert report.ok == (content[8:] == b'{}')


def test_tables_of_others(tmp_path):
    Table({'a': [1], 'b': [2]}).write(tmp_path / 'a.fits')
    Table({'a': [1], 'b': [2]}).write(tmp_path / 'a.csv')
    (tmp_path / 'b.csv').write_bytes(b'\x00\xff\xfe"')
    for report in check_files(sorted(tmp_path.iterdir())):
        assert not report.ok
        assert report.path in report.problems[0]


@pytest.mark.parametrize('suffix', ['.csv', '.ecsv', '.fits', '.vot'])
def test_a_table_of_votes_is_counted(tmp_path, suffix):
    path = tmp_path / f'votes{suffix}'
    rows = [('007', 'ann', 'cluster'), ('007', 'bob', 'point'), ('7', 'ann', 'Unknown')]
    table = Table(rows=rows, names=('item', 'annotator', 'label'))
    kind = {'.csv': 'ascii.csv', '.ecsv': 'ascii.ecsv', '.vot': 'votable'}.get(suffix)
    table.write(path, format=kind)
    (report,) = check_files([path])
    assert report.ok and report.kind == 'table of votes'
    facts = {'items': 2, 'annotators': 2, 'votes': 2, 'empty or unknown': 1}
    assert report.facts == facts


def test_what_is_wrong_with_votes_is_told(tmp_path):
    path = tmp_path / 'v.csv'
    path.write_text('item,annotator,label\na,ann,point\nb,,point\n')
    (report,) = check_files([path])
    words = f"{path}: row 2 has nothing in the column 'annotator'; fill it in"
    assert report.problems == (words,)
    with gzip.open(tmp_path / 'v.csv.gz', 'wb') as stream:
        stream.write(path.read_bytes())
    (report,) = check_files([tmp_path / 'v.csv.gz'])
    assert 'unpack it first' in report.problems[0]


def test_maps_without_words_in_the_header(tmp_path):
    header = tiny_wcs().to_header()
    fits.writeto(tmp_path / 'smooth.fits', np.full((64, 64), 5000.0), header)
    fits.writeto(tmp_path / 'expmap_zero.fits', np.zeros((64, 64)), header)
    fits.writeto(tmp_path / 'bkgmap_negative.fits', np.full((64, 64), -1.0), header)
    smooth, zero, negative = check_files(
        [tmp_path / n for n in ('smooth.fits', 'expmap_zero.fits', 'bkgmap_negative.fits')]
    )
    assert smooth.kind.startswith('smooth image') and smooth.ok
    assert zero.kind == 'exposure map' and 'zero everywhere' in zero.problems[0]
    assert negative.kind == 'background map' and 'negative' in negative.problems[0]


def test_what_is_left_out_of_an_export_is_told(tmp_path):
    path = tmp_path / 'export.csv'
    row = '{},ann,7,"[{{""task"": ""T0"", ""value"": ""Yes""}}]",42\n'
    header = 'classification_id,user_name,workflow_id,annotations,subject_ids\n'
    path.write_text(header + row.format(1) + '2,"bob,7,"[]",42\n' + row.format(3) + '4,ann\n')
    (report,) = check_files([path])
    assert (report.ok, report.kind) == (True, 'Zooniverse export')
    assert (report.facts['rows'], report.facts['answers']) == (4, 2)
    assert len(report.doubts) == 2
    assert all('cut short' in doubt for doubt in report.doubts)


def test_the_other_images_of_a_map_are_named(tmp_path):
    header = tiny_wcs().to_header()
    header['BUNIT'] = 's'
    fits.writeto(tmp_path / 'a.fits', tiny_image().counts, tiny_wcs().to_header())
    maps = [fits.ImageHDU(np.full((64, 64), 9.0), header, name=name) for name in ('PN', 'MOS')]
    fits.HDUList([fits.PrimaryHDU(), *maps]).writeto(tmp_path / 'expmap.fits')
    counts, exposure = check_files([tmp_path / 'a.fits', tmp_path / 'expmap.fits'])
    assert exposure.kind == 'exposure map' and exposure.facts['on the grid of'] == counts.path
    assert [doubt for doubt in exposure.doubts if 'the first of 2 images' in doubt]
