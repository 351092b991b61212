# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The one place where FITS images of unknown origin are opened.

Nothing in a file is believed before it is checked: sizes are compared with what is
there before memory is asked for, compressed files are unpacked as a stream with an end,
and whatever astropy raises becomes one sentence about the file.
"""

import bz2
import gzip
import itertools
import lzma
import re
import stat
import warnings
from pathlib import Path
from typing import NamedTuple

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_scales

from clustercnn.exceptions import (
    ClusterCNNError,
    DataQualityWarning,
    ImageMismatchError,
    ImageReadError,
    NoImageError,
)
from clustercnn.io._header_wcs import wcs_of
from clustercnn.io._limited_stream import BLOCK, LimitedStream
from clustercnn.io.missions import role_of, unit_of

__all__ = [
    'DAMAGES',
    'Plane',
    'check_file',
    'check_grid',
    'first_few',
    'first_wrong',
    'is_wanted',
    'open_hdus',
    'read_plane',
]

_LARGEST_PIXELS = 20_000 * 20_000
# bytes in which other images are looked for, and how many of them a message names
_LARGEST_SEARCH = 1 << 30
_MOST_NAMED = 6
_MOST_HDUS = 10_000
# of a table, by the FITS standard
_MOST_COLUMNS = 999
# in names of images that come with another, of XMM-Newton, eROSITA, HST, JWST, DES and Euclid
_BESIDE = re.compile(
    r'(?<![A-Z])(ERR|DQ|VAR|AREA|BACK|EXP(?!\d))|WHT|WEIGHT|WGT|MASK|MSK|BKG|RMS|SIGMA|NOISE|UNC|'
    r'STDEV|QUAL|FLAG|FLG|BPM|MODEL|RESID|SENS|VIGN|COVER|CTX|^CON$|PSF|SNR'
)
_UNPACKERS = {b'\x1f\x8b': gzip.open, b'BZh': bz2.open, b'\xfd7zXZ': lzma.open}
# what reading on in a damaged file may raise
DAMAGES = (ClusterCNNError, fits.VerifyError, OSError, LookupError, ValueError, TypeError)
_OTHER_KINDS = {
    b'<': 'an HTML or XML page; the download failed, fetch it again',
    b'PK\x03\x04': 'a ZIP archive; unpack it first',
    b'\x89HDF': 'an HDF5 file, not an image',
    b'\x89PNG': 'a PNG picture without sky coordinates; use the FITS file it was made from',
    b'\xff\xd8\xff': 'a JPEG picture without sky coordinates; use the FITS file it was made from',
    b'%PDF': 'a PDF document',
    b'version https://git-lfs': 'a Git LFS pointer; fetch the file itself with git lfs pull',
}


class Plane(NamedTuple):
    """
    One celestial image of a FITS file.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        As stored.
    header : `~astropy.io.fits.Header`
        Of its HDU.
    wcs : `~astropy.wcs.WCS`
        Celestial, two-dimensional.
    number : int
        Number of its HDU, from 0.
    doubts : tuple of str
        What deserves a look although the image could be read.

    Examples
    --------
    >>> from clustercnn.io.planes import Plane
    >>> Plane._fields
    ('data', 'header', 'wcs', 'number', 'doubts')
    """

    data: np.ndarray
    header: fits.Header
    wcs: WCS
    number: int
    doubts: tuple = ()


def check_file(path):
    """
    Refuse what cannot be a file of data, whatever its format.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    start : bytes
        Its first 512 bytes.

    Raises
    ------
    ImageReadError
        If it is absent, a folder, empty, closed to us or no plain file.

    Examples
    --------
    >>> from clustercnn.io.planes import check_file
    >>> check_file('nowhere.fits')
    Traceback (most recent call last):
        ...
    clustercnn.exceptions.ImageReadError: nowhere.fits: no such file; check the name
    """
    path = Path(path)
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageReadError(path, 'no such file; check the name') from error
    except (OSError, ValueError) as error:
        raise ImageReadError(path, f'cannot be looked at ({error})') from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageReadError(path, 'is a folder, expected a file')
    if not stat.S_ISREG(status.st_mode):
        raise ImageReadError(path, 'is a pipe or device, expected a plain file')
    if status.st_size == 0:
        raise ImageReadError(path, 'the file is empty; fetch it again')
    try:
        with path.open('rb') as stream:
            return stream.read(512)
    except OSError as error:
        reason = f'cannot be opened ({error.strerror}); check its permissions'
        raise ImageReadError(path, reason) from error


def _unpacker(start):
    for magic, unpack in _UNPACKERS.items():
        if start.startswith(magic):
            return unpack
    return None


def _damaged(path, error):
    reason = (
        f'cannot be read as FITS ({type(error).__name__}: {error}); the file is truncated, '
        f'damaged or of another format, fetch it again'
    )
    return ImageReadError(path, ' '.join(reason.split()))


def open_hdus(path, work):
    """
    Open a FITS file and do something with its HDUs.

    Parameters
    ----------
    path : str or path-like
        FITS file, plain or compressed with gzip, bzip2 or xz.
    work : callable
        Called with an iterator over pairs of number and HDU, in their order; each is
        loaded when it is asked for.

    Returns
    -------
    result : object
        What ``work`` returned.

    Raises
    ------
    ImageReadError
        If the file cannot be opened or is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.io import fits
    >>> from clustercnn.io.planes import open_hdus
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.PrimaryHDU().writeto(Path(folder) / 'a.fits')
    ...     open_hdus(Path(folder) / 'a.fits', lambda hdus: [number for number, _ in hdus])
    [0]
    """
    path = Path(path)
    start = check_file(path)
    unpack = _unpacker(start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with path.open('rb') if unpack is None else unpack(path, 'rb') as raw:
                head = start if unpack is None else raw.read(512)
                if unpack is not None:
                    raw.seek(0)
                _check_start(path, head)
                size = path.stat().st_size if unpack is None else None
                stream = LimitedStream(path, raw, size)
                try:
                    with fits.open(stream, memmap=False, lazy_load_hdus=True) as hdus:
                        result = work(_walk(path, hdus, size))
                except ImageReadError as error:
                    if not stream.cut_off:
                        raise
                    beyond = f'; beyond {LimitedStream.most / (1 << 30):.3g} GiB nothing was read'
                    raise ImageReadError(path, error.reason + beyond) from error
                if unpack is not None:
                    stream.drain()
    except ClusterCNNError:
        raise
    except MemoryError as error:
        reason = 'needs more memory than there is; cut a smaller image out of it'
        raise ImageReadError(path, reason) from error
    except RecursionError as error:
        raise _damaged(path, error) from error
    except Exception as error:
        raise _damaged(path, error) from error
    if stream.cut_off:
        text = f'beyond {LimitedStream.most / (1 << 30):.3g} GiB nothing was read'
        warnings.warn(f'{path}: {text}', DataQualityWarning, stacklevel=3)
    return result


def _check_start(path, head):
    if head.startswith(b'SIMPLE  ='):
        return
    plain = head.lstrip(b'\xef\xbb\xbf \t\r\n')
    for magic, words in _OTHER_KINDS.items():
        if plain.startswith(magic):
            raise ImageReadError(path, f'holds {words}; expected FITS')
    reason = "is not FITS: it does not start with 'SIMPLE  ='; fetch it again or convert it"
    raise ImageReadError(path, reason)


def _walk(path, hdus, size):
    """
    Yield number and HDU one by one, each as long as it says.
    """
    last = -1
    for number in itertools.count():
        try:
            item = hdus[number]
        except IndexError:
            return
        # astropy 7.0 does not know where a compressed image lies; what is wrong with one then
        # shows when it is unpacked
        place = item.fileinfo() or {'datLoc': last + 1, 'datSpan': 0}
        end = place['datLoc'] + (
            # the size of what it unpacks to is another one; the last block may lack its padding
            max(place['datSpan'] - BLOCK + 1, 0)
            if isinstance(item, fits.CompImageHDU)
            else item.size
        )
        if number >= _MOST_HDUS or place['datLoc'] <= last or place['datSpan'] < 0:
            reason = f'HDU {number}: the sizes in its headers contradict each other; fetch it again'
            raise ImageReadError(path, reason)
        last = place['datLoc']
        n_fields = item.header.get('TFIELDS', 0)
        if not isinstance(n_fields, int) or not 0 <= n_fields <= _MOST_COLUMNS:
            reason = (
                f'HDU {number}: TFIELDS = {n_fields}; expected 0 to {_MOST_COLUMNS} columns, the '
                f'file is damaged: fetch it again'
            )
            raise ImageReadError(path, reason)
        claims_too_much = item.is_image and np.prod(item.shape, dtype=float) > _LARGEST_PIXELS
        if size is not None and end > size and item.size and not claims_too_much:
            reason = (
                f'HDU {number}: its header promises data up to byte {end}, but the file ends at '
                f'{size}; it is truncated, fetch it again'
            )
            raise ImageReadError(path, reason)
        yield number, item


def _describe(number, header):
    axes = [header.get(f'NAXIS{axis + 1}', 0) for axis in range(int(header.get('NAXIS', 0)))]
    kind = {'BINTABLE': 'table', 'TABLE': 'table'}.get(
        str(header.get('XTENSION', 'IMAGE')).strip(), 'image'
    )
    size = 'empty' if not axes else ' x '.join(map(str, axes))
    return kind, f'HDU {number} {kind} {size}'


def read_plane(path, *, hdu=None):
    """
    Read the first celestial image of a FITS file, or the one asked for.

    Parameters
    ----------
    path : str or path-like
        FITS file, plain or compressed with gzip, bzip2 or xz.
    hdu : int or str, optional
        Number or name of the wanted HDU.

    Returns
    -------
    plane : Plane
        Axes of length 1 beside the two of the sky are dropped.

    Raises
    ------
    ImageReadError
        If there is none; says what the file holds instead.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from clustercnn.io.planes import read_plane
    >>> from clustercnn.testing import tiny_wcs
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'image.fits'
    ...     fits.writeto(path, np.ones((64, 64)), tiny_wcs().to_header())
    ...     read_plane(path).data.shape
    (64, 64)
    """
    return open_hdus(path, lambda hdus: _choose(path, hdus, hdu))


def _choose(path, hdus, wanted):
    seen, no_wcs = [], None
    for number, item in hdus:
        kind, text = _describe(number, item.header)
        seen.append((kind, text))
        if not is_wanted(wanted, number, item) or not _is_picture(item):
            continue
        if np.prod(item.shape, dtype=float) > _LARGEST_PIXELS:
            reason = (
                f'{text}: more than {_LARGEST_PIXELS:.0e} pixels; cut a smaller image out of it'
            )
            raise ImageReadError(path, reason)
        try:
            wcs = wcs_of(path, item.header, text, len(item.shape))
        except ImageReadError as error:
            # another image of the file may have one
            no_wcs = no_wcs or error.reason
            continue
        if wcs is None or not wcs.has_celestial:
            no_wcs = no_wcs or (
                f'{text}: has no celestial WCS (CTYPE1 = {item.header.get("CTYPE1", "absent")}, '
                f'CTYPE2 = {item.header.get("CTYPE2", "absent")}); expected RA/DEC or GLON/GLAT, '
                f'add the WCS keywords or use the file they were lost from'
            )
            continue
        scales = np.asarray(proj_plane_pixel_scales(wcs), float)
        if not (np.isfinite(scales).all() and (scales > 0).all() and (scales < 1).all()):
            reason = (
                f'{text}: a pixel of {scales[0]:g} x {scales[1]:g} deg; expected less than 1 deg, '
                f'check CDELT1 and CDELT2 or the CD matrix'
            )
            raise ImageReadError(path, reason)
        plane = _load(path, item, number, text, wcs)
        others = _rivals(path, item, hdus) if wanted is None else []
        if others:
            of = 'many' if len(others) > _MOST_NAMED else len(others) + 1
            doubt = (
                f'HDU {number} is taken, the first of {of} images; hdu=, or a file of its own, '
                f'gives another: {first_few(others)}'
            )
            plane = plane._replace(doubts=(*plane.doubts, doubt))
        return plane
    if no_wcs is not None:
        raise ImageReadError(path, no_wcs)
    raise NoImageError(path, _nothing_found(seen, wanted))


def _is_picture(item):
    """
    Say whether an HDU is an image of two axes, beside those of length 1.
    """
    return item.is_image and len([n for n in item.shape if n > 1]) == 2 and 0 not in item.shape


def _rivals(path, item, hdus):
    """
    Return the images of the sky behind one that could have been meant as well, in words.

    Weights, errors, masks and maps of exposure that come with an image are none.
    """
    rivals, chosen_is_beside, size = [], _is_beside(item), 0
    try:
        for number, other in hdus:
            size += other.size
            # not through all of a compressed file, or a mosaic of hundreds of chips
            if size > _LARGEST_SEARCH or len(rivals) > _MOST_NAMED:
                break
            if not _is_picture(other) or (_is_beside(other) and not chosen_is_beside):
                continue
            text = f'HDU {number} {other.name}'.strip()
            try:
                wcs = wcs_of(path, other.header, text, len(other.shape))
            except ImageReadError:
                continue
            if wcs is not None and wcs.has_celestial:
                rivals.append(text)
    except DAMAGES:
        # what lies behind may be damaged, and is not used
        return rivals
    return rivals


def first_few(names):
    """
    Return names as a list for a message, the first ones if they are many.

    Parameters
    ----------
    names : list of str
        The names.

    Returns
    -------
    text : str
        Such as ``'HDU 2, HDU 3 and more'``.
    """
    return ', '.join(names[:_MOST_NAMED]) + (' and more' if len(names) > _MOST_NAMED else '')


def _is_beside(item):
    """
    Say whether name, role or unit of an image speak for one that comes with another.
    """
    unit = unit_of(item.header)
    timed = unit is not None and (unit.is_equivalent(u.s) or unit.is_equivalent(u.cm**2 * u.s))
    return bool(timed or _BESIDE.search(item.name.upper()) or role_of(item.header) is not None)


def is_wanted(wanted, number, item):
    """
    Say whether an HDU is one that was asked for.

    Parameters
    ----------
    wanted : int or str or None
        Number or name, the latter in capital or small letters; None for any.
    number : int
        Of the HDU.
    item : `~astropy.io.fits.PrimaryHDU` or `~astropy.io.fits.ImageHDU`
        The HDU.

    Returns
    -------
    wanted : bool
        Whether it is.
    """
    if wanted is None:
        return True
    return wanted == number or (isinstance(wanted, str) and wanted.upper() == item.name.upper())


def _load(path, item, number, text, wcs):
    header = item.header.copy()
    doubts = ()
    # a wrong sum alone does not condemn a file: tools change images and leave the old sums
    if not isinstance(item, fits.CompImageHDU) and not has_true_sum(item):
        doubts = (f'HDU {number}: DATASUM does not fit the pixels: damaged, or changed since',)
    data = np.asarray(item.data)
    data = data.reshape([n for n in data.shape if n > 1])
    if data.dtype.kind == 'u' and isinstance(header.get('BLANK'), int):
        # which astropy does not look for in unsigned numbers
        blank = data == header['BLANK'] + int(header.get('BZERO', 0))
        data = np.where(blank, np.nan, data.astype(np.float64)) if blank.any() else data
    if data.dtype.kind not in 'iuf':
        raise ImageReadError(path, f'{text}: holds {data.dtype} values, expected numbers')
    return Plane(data, header, wcs, number, doubts)


def has_true_sum(item):
    """
    Say whether the pixels of an HDU are those that its ``DATASUM`` was made of.

    Parameters
    ----------
    item : `~astropy.io.fits.PrimaryHDU` or `~astropy.io.fits.ImageHDU`
        The HDU.

    Returns
    -------
    true : bool
        Also where it has no sum.
    """
    try:
        return item.verify_datasum() != 0
    except (TypeError, ValueError, OSError):
        # the padding of the last block is missing; reading will tell if it is more than that
        return True


def _nothing_found(seen, wanted):
    listing = '; '.join(text for _, text in seen[:6]) + ('; ...' if len(seen) > 6 else '')
    if wanted is not None:
        return f'has no two-dimensional image in HDU {wanted!r}; there are: {listing}'
    reason = f'has no two-dimensional image with a celestial WCS; there are: {listing}'
    if any(kind == 'table' for kind, _ in seen):
        return reason + '. Tables are not images; event lists are read in place of images only'
    if any(text.count(' x ') > 1 for _, text in seen):
        return reason + '. A cube must be cut into planes first'
    return reason


def check_grid(path, shape, wcs, other_path, other_shape, other_wcs):
    """
    Refuse a map that is not on the pixel grid of an image, to a tenth of a pixel.

    Parameters
    ----------
    path : str or path-like
        Name of the image, for the message.
    shape : 2-tuple of int
        Its shape.
    wcs : `~astropy.wcs.WCS`
        Its world coordinates.
    other_path : str or path-like
        Name of the map, for the message.
    other_shape : 2-tuple of int
        Its shape.
    other_wcs : `~astropy.wcs.WCS`
        Its world coordinates.

    Raises
    ------
    ImageMismatchError
        If shapes differ or positions disagree.

    Examples
    --------
    >>> from clustercnn.io.planes import check_grid
    >>> from clustercnn.testing import tiny_wcs
    >>> check_grid('a', (64, 64), tiny_wcs(), 'b', (64, 64), tiny_wcs())
    """
    if tuple(shape) != tuple(other_shape):
        msg = (
            f'{other_path}: is {other_shape[1]} x {other_shape[0]} pixels, but {path} is '
            f'{shape[1]} x {shape[0]}; make it on the pixel grid of the image'
        )
        raise ImageMismatchError(msg)
    ny, nx = shape
    y, x = (
        axis.ravel() for axis in np.meshgrid(np.linspace(0, ny - 1, 5), np.linspace(0, nx - 1, 5))
    )
    longitude, latitude = wcs.all_pix2world(x, y, 0)
    # the corners of very wide images lie beyond the sky
    on_sky = np.isfinite(longitude) & np.isfinite(latitude)
    offset = np.inf
    if on_sky.any():
        sky = wcs.pixel_to_world(x[on_sky], y[on_sky])
        other = np.array(other_wcs.world_to_pixel(sky)) - np.array([x[on_sky], y[on_sky]])
        offset = np.hypot(*other).max()
    if not offset < 0.1:
        msg = (
            f'{other_path}: its WCS lies {offset:.2f} pixels off that of {path}; '
            f'expected less than 0.1, make it on the pixel grid of the image'
        )
        raise ImageMismatchError(msg)


def first_wrong(values, wrong):
    """
    Say where the first of some pixels is, and its value.

    Parameters
    ----------
    values : 2D `~numpy.ndarray`
        The image.
    wrong : 2D `~numpy.ndarray` of bool
        At least one pixel is True.

    Returns
    -------
    text : str
        Position from 0, as everywhere in the package.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.io.planes import first_wrong
    >>> first_wrong(np.array([[0.0, -3.0]]), np.array([[False, True]]))
    '-3 at (x, y) = (1, 0)'
    """
    row, column = np.argwhere(wrong)[0]
    return f'{values[row, column]:g} at (x, y) = ({column}, {row})'
