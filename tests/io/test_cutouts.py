# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Cutouts come back from HDF5 and FITS as they were written, and only from honest files.
"""

import subprocess
import sys

import astropy.units as u
import h5py
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits

from clustercnn import Band, CutoutStack, MultiBandCutout
from clustercnn.core import tangent_wcs
from clustercnn.exceptions import TableReadError
from clustercnn.testing import assert_identical, tiny_stack

SUFFIXES = ('.h5', '.fits')


def odd_stack():
    """
    Return a stack with everything that is easily lost.
    """
    stack = tiny_stack(3)
    optical = stack.band('optical')
    mask = np.zeros(optical.shape, bool)
    mask[1] = True
    mask[2, :4] = True
    xray = stack.band('xray')
    return stack.replace(
        ids=['CCNN J0-1', 'a b', 'x' * 70],
        bands=[
            optical.replace(
                mask=mask, pixel_scale=1.2345678901234567 * u.arcsec, unit=u.MJy / u.sr
            ),
            xray.replace(psf_fwhm=np.array([8.0, np.nan, 7.5]), exposure=None, name='X-ray_0.5'),
        ],
        positions=SkyCoord([0.0, 359.99999999, 12.3], [-90, 0.1, 1 / 3], unit='deg'),
        features={
            'zz': [1.5, np.nan, -np.inf],
            'aa/bb': [1, 2, 3],
            'ra': [5, 6, 7],
            'feature_x': [0, 0, 1],
        },
        meta={'model': 'a', 'numbers': [1, 2.5, None], 'text': "it's — " + 'long ' * 50},
    )


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize(
    'stack',
    [
        tiny_stack(5),
        tiny_stack(1),
        tiny_stack(3)[:0],
        tiny_stack(2, optical=False).replace(positions=None, features={}),
        odd_stack(),
        odd_stack()[:0],
    ],
    ids=['plain', 'one', 'none', 'bare', 'odd', 'odd none'],
)
def test_stack_comes_back(tmp_path, suffix, stack):
    path = tmp_path / f'a{suffix}'
    stack.write(path)
    assert_identical(CutoutStack.read(path), stack)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize('stack', [tiny_stack(2), odd_stack()], ids=['plain', 'odd'])
@pytest.mark.parametrize('row', [0, 1])
def test_cutout_comes_back(tmp_path, stack, row):
    cutout = stack[row]
    cutout.write(tmp_path / 'a.fits')
    assert_identical(MultiBandCutout.read(tmp_path / 'a.fits'), cutout)


def test_cutout_without_sky(tmp_path):
    band = Band(name='r', data=np.arange(12.0).reshape(3, 4), pixel_scale=0.3 * u.arcsec)
    cutout = MultiBandCutout(id='7', bands=[band], features={'p': 1 / 3})
    cutout.write(tmp_path / 'a.fits')
    assert_identical(MultiBandCutout.read(tmp_path / 'a.fits'), cutout)


def test_other_programs_find_the_sky(tmp_path):
    position = SkyCoord(210.2586, 2.8786, unit='deg')
    wcs = tangent_wcs(position, 4 * u.arcsec, (9, 9))
    data = np.zeros((9, 9))
    data[4, 4] = 1
    band = Band(name='xray', data=data, pixel_scale=4 * u.arcsec, unit=u.ct, wcs=wcs)
    MultiBandCutout(id='1', bands=[band], position=position).write(tmp_path / 'a.fits')
    with fits.open(tmp_path / 'a.fits', checksum=True) as hdus:
        header = hdus['XRAY_DATA'].header
        assert header['CTYPE1'] == 'RA---TAN' and header['CRVAL1'] == pytest.approx(210.2586)
        assert header['BUNIT'] == 'ct'
        assert hdus['CANDIDATES'].header['TUCD2'] == 'pos.eq.ra;meta.main'
    tiny_stack(2).write(tmp_path / 'b.fits')
    with fits.open(tmp_path / 'b.fits', checksum=True) as hdus:
        assert hdus['XRAY_DATA'].data.shape == (2, 16, 16)
        assert hdus['XRAY_DATA'].header['CDELT2'] == 4.0


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_existing_file_is_kept_unless_asked(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    tiny_stack(2).write(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match='exists already'):
        tiny_stack(3).write(path)
    assert path.read_bytes() == before
    tiny_stack(3).write(path, overwrite=True)
    assert len(CutoutStack.read(path)) == 3


@pytest.mark.parametrize('name', ['ä', 'a ', '', 'a\nb'])
def test_what_fits_cannot_keep_is_refused(tmp_path, name):
    stack = tiny_stack(2).replace(ids=['1', name])
    with pytest.raises(ValueError, match='write HDF5'):
        stack.write(tmp_path / 'a.fits')
    assert not list(tmp_path.iterdir())
    stack.write(tmp_path / 'a.h5')
    assert CutoutStack.read(tmp_path / 'a.h5').ids == ('1', name)


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_truncated_stack(tmp_path, suffix):
    path = tmp_path / f'a{suffix}'
    tiny_stack(3).write(path)
    content = path.read_bytes()
    for cut in (0, 1, 100, len(content) // 3, len(content) // 2, len(content) - 3000):
        path.write_bytes(content[:cut])
        with pytest.raises(TableReadError, match=f'a{suffix}') as caught:
            CutoutStack.read(path)
        assert '\n' not in str(caught.value)


def test_wrong_kind_of_file(tmp_path):
    tiny_stack(2).write(tmp_path / 'stack.fits')
    tiny_stack(2)[0].write(tmp_path / 'cutout.fits')
    with pytest.raises(TableReadError, match=r'MultiBandCutout\.read'):
        CutoutStack.read(tmp_path / 'cutout.fits')
    with pytest.raises(TableReadError, match=r'CutoutStack\.read'):
        MultiBandCutout.read(tmp_path / 'stack.fits')
    fits.PrimaryHDU(np.ones((4, 4))).writeto(tmp_path / 'image.fits')
    with pytest.raises(TableReadError, match='no CCNNKIND'):
        CutoutStack.read(tmp_path / 'image.fits')
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file['x'] = 1
    with pytest.raises(TableReadError, match='not one of cutouts'):
        CutoutStack.read(tmp_path / 'a.h5')
    for name in ('none.h5', 'none.fits'):
        with pytest.raises(TableReadError, match='no such file'):
            CutoutStack.read(tmp_path / name)
    with pytest.raises(TableReadError, match='folder'):
        CutoutStack.read(tmp_path, format='hdf5')


def test_flipped_bit_in_fits_is_found(tmp_path):
    path = tmp_path / 'a.fits'
    tiny_stack(3).write(path)
    with fits.open(path) as hdus:
        place = hdus['XRAY_DATA'].fileinfo()['datLoc'] + 50
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(TableReadError, match='DATASUM'):
        CutoutStack.read(path)


def test_newer_layouts_are_refused(tmp_path):
    tiny_stack(2).write(tmp_path / 'a.h5')
    with h5py.File(tmp_path / 'a.h5', 'r+') as file:
        file.attrs['version'] = 99
    tiny_stack(2).write(tmp_path / 'a.fits')
    with fits.open(tmp_path / 'a.fits', mode='update') as hdus:
        hdus[0].header['CCNNVERS'] = 99
    for suffix in SUFFIXES:
        with pytest.raises(TableReadError, match='newer than this program'):
            CutoutStack.read(tmp_path / f'a{suffix}')


# hostile HDF5


def hostile(tmp_path, change):
    path = tmp_path / 'a.h5'
    tiny_stack(3).write(path)
    with h5py.File(path, 'r+') as file:
        change(file)
    with pytest.raises(TableReadError) as caught:
        CutoutStack.read(path)
    return str(caught.value)


def other_file(tmp_path):
    path = tmp_path / 'secret.h5'
    with h5py.File(path, 'w') as file:
        file['data'] = np.zeros((3, 16, 16), np.float32)
        file.create_group('bands')
    return path


@pytest.mark.parametrize(
    'where', ['bands/xray/data', 'bands', 'bands/xray', 'ids', 'ra', 'features']
)
def test_links_are_not_followed(tmp_path, where):
    secret = other_file(tmp_path)

    def external(file):
        del file[where]
        file[where] = h5py.ExternalLink(str(secret), '/data')

    def soft(file):
        file.move(where, 'elsewhere')
        file[where] = h5py.SoftLink('/elsewhere')

    assert 'a link, which is not followed' in hostile(tmp_path, external)
    (tmp_path / 'a.h5').unlink()
    assert 'a link, which is not followed' in hostile(tmp_path, soft)


def test_data_elsewhere_are_not_followed(tmp_path):
    secret = other_file(tmp_path)

    def virtual(file):
        del file['bands/xray/data']
        layout = h5py.VirtualLayout((3, 16, 16), np.float32)
        layout[:] = h5py.VirtualSource(str(secret), 'data', (3, 16, 16))
        file.create_virtual_dataset('bands/xray/data', layout)

    def external(file):
        del file['bands/xray/data']
        file.create_dataset(
            'bands/xray/data',
            (3, 16, 16),
            np.float32,
            external=[(str(secret), 0, h5py.h5f.UNLIMITED)],
        )

    for change in (virtual, external):
        assert 'in another file' in hostile(tmp_path, change)
        (tmp_path / 'a.h5').unlink()


def test_shapes_are_not_believed(tmp_path):
    def bomb(file):
        del file['bands/xray/data']
        file.create_dataset(
            'bands/xray/data', (3, 100_000, 100_000), np.float32, chunks=(1, 1000, 1000)
        )

    assert 'claims' in hostile(tmp_path, bomb)

    def long(file):
        del file['ra']
        file.create_dataset('ra', (1 << 40,), np.float64, chunks=(1024,))

    (tmp_path / 'a.h5').unlink()
    assert 'there are 3 ids' in hostile(tmp_path, long)

    def objects(file):
        del file['ra']
        file.create_dataset('ra', data=['a', 'b', 'c'], dtype=h5py.string_dtype())

    (tmp_path / 'a.h5').unlink()
    assert "'/ra' holds" in hostile(tmp_path, objects)


def test_what_is_missing_is_named(tmp_path):
    for name in ('ids', 'bands', 'features', 'dec'):
        assert f"has no '{name}'" in hostile(tmp_path, lambda file, name=name: file.pop(name))
        (tmp_path / 'a.h5').unlink()
    hostile(tmp_path, lambda file: file['bands/xray'].pop('data'))


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows has no limit on the size of files')
def test_full_disk_is_said_and_leaves_nothing(tmp_path):
    # HDF5 crashed where a file could not be closed, so this must not be done in here
    program = f"""
import resource
from clustercnn.testing import tiny_stack
for limit in (0, 1000, 30_000, 50_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        tiny_stack().write({str(tmp_path / 'stack.h5')!r})
    except OSError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.startswith(f'{tmp_path / "stack.h5"}: cannot be written whole (')
    assert list(tmp_path.iterdir()) == []


def test_stack_of_several_pieces_comes_back(tmp_path):
    stack = CutoutStack.concatenate(
        [
            tiny_stack(6, seed=number).replace(ids=[f'{number}-{row}' for row in range(6)])
            for number in range(23)
        ]
    )
    stack.write(tmp_path / 'stack.h5')
    assert_identical(CutoutStack.read(tmp_path / 'stack.h5'), stack)
