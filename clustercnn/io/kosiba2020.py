# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The image set that Kosiba et al. (2020) published: pictures of candidates and their classes.
"""

import csv
import io
import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath

import astropy.units as u
import numpy as np

from clustercnn._utils.progress import progress as progress_bar
from clustercnn._utils.validation import check_angle, check_one_of
from clustercnn.core import BandStack, CutoutStack, LabelSchema, LabelSet
from clustercnn.exceptions import TableReadError

__all__ = ['read_kosiba2020']

SIDE = 356
# of the colours of a picture the first is empty
CHANNELS = {'optical': 1, 'xray': 2}
_COLUMNS = ('image_id', 'class')
_SIGNATURE = b'\x89PNG\r\n\x1a\n'
# the set has some 3000 pictures of less than 0.4 MB each, 259 MB in all
_MOST_MEMBERS = 20_000
_LARGEST_TOTAL = 4 << 30
_LARGEST_TABLE, _LARGEST_PICTURE = 16 << 20, 4 << 20
# pictures hardly compress, and tables by ten at most
_LARGEST_RATIO, _NEVER_A_BOMB = 100, 1 << 20


def read_kosiba2020(path, *, split='train', binning=1, pixel_scale=1 * u.arcsec, quiet=True):
    """
    Read the published image set of Kosiba et al. (2020), as a zip file or unpacked.

    Parameters
    ----------
    path : str or path-like
        ``Kosiba2020.zip``, which is read where it lies, or the folder that it unpacks to.
    split : {'train', 'test'}, optional
        Which part.
    binning : int, optional
        Average so many pixels along each side, a divisor of 356. At 1 a picture takes 1.3 MB
        of memory, at 4 a sixteenth of that.
    pixel_scale : `~astropy.units.Quantity`, optional
        Side of a pixel of the file. The set does not say what it is: the default is nominal.
    quiet : bool or None, optional
        Whether to hide the progress bar; None lets the terminal decide.

    Returns
    -------
    stack : CutoutStack
        Bands ``'optical'`` and ``'xray'``, grey levels from 0 to 255, shape
        ``(n, 356 / binning, 356 / binning)``, in the order of the table. The first row
        is the lowest of the picture. The metadata say how many pictures no row names.
    labels : LabelSet
        Of the classes low-z, hi-z (both positive), galaxy, point and other.

    Raises
    ------
    TableReadError
        If the file or folder is not laid out so; says what was found where.
    ValueError
        If an argument is out of range.

    Notes
    -----
    Each part has a table, ``train.csv`` with the columns ``image_id`` and ``class``, and a
    folder, ``train_images``, with ``<image_id>.png``: 356 x 356 pixels of three colours in
    8 bits, [empty, optical, X-ray]. The layout is that of the recipe of the second author,
    XCLASS.py in the repository MaggieLieu/astrods. The set is at
    https://zenodo.org/record/7236582.

    Nothing is unpacked. A zip file with names that lead elsewhere, links, or members that
    claim to unpack to more than any picture could is refused whole.

    References
    ----------
    Kosiba et al. (2020), MNRAS 496, 4141.

    Examples
    --------
    >>> import io, tempfile, zipfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from clustercnn.io import read_kosiba2020
    >>> picture = io.BytesIO()
    >>> Image.fromarray(np.zeros((356, 356, 3), np.uint8)).save(picture, format='PNG')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'Kosiba2020.zip'
    ...     with zipfile.ZipFile(path, 'w') as archive:
    ...         archive.writestr('Kosiba2020/test.csv', 'image_id,class\\n17,hi-z\\n')
    ...         archive.writestr('Kosiba2020/test_images/17.png', picture.getvalue())
    ...     stack, labels = read_kosiba2020(path, split='test', binning=4)
    >>> stack.ids, stack['xray'].shape, labels.names(), labels.binary().tolist()
    (('17',), (1, 89, 89), ['hi-z'], [1.0])
    """
    check_one_of('split', split, ('train', 'test'))
    if not isinstance(binning, int) or binning < 1 or SIDE % binning:
        msg = f"'binning' must be a whole number that divides {SIDE}, got {binning!r}"
        raise ValueError(msg)
    pixel_scale = check_angle('pixel_scale', pixel_scale)
    schema = LabelSchema(('low-z', 'hi-z', 'galaxy', 'point', 'other'), ('low-z', 'hi-z'))
    path = Path(path)
    with (_Folder if path.is_dir() else _Zip)(path) as files:
        table = files.find(f'{split}.csv')
        ids, names = _read_table(path, table, files.read(table, _LARGEST_TABLE), schema.classes)
        folder = f'{table.removesuffix(".csv")}_images'
        there = {name for name in files.names if name.startswith(f'{folder}/')}
        wanted = [f'{folder}/{name}.png' for name in ids]
        missing = [name for name in wanted if name not in there]
        if missing:
            reason = (
                f'{len(missing)} of {len(wanted)} rows of {table} have no picture, the first '
                f'is {missing[0]}; fetch the set again'
            )
            raise TableReadError(path, reason)
        side = SIDE // binning
        data = {band: np.empty((len(ids), side, side), np.float32) for band in CHANNELS}
        for row, name in enumerate(
            progress_bar(wanted, label='read', quiet=quiet, unit='pictures')
        ):
            picture = _decode(path, name, files.read(name, _LARGEST_PICTURE))
            for band, channel in CHANNELS.items():
                blocks = picture[::-1, :, channel].reshape(side, binning, side, binning)
                data[band][row] = blocks.mean(axis=(1, 3), dtype=np.float32)
    meta = {
        'path': str(path),
        'split': split,
        'n_rows': len(ids),
        'n_pictures_without_row': len({n for n in there if n.endswith('.png')} - set(wanted)),
    }
    bands = []
    for band, planes in data.items():
        # nobody else has them, so that they need not be copied to be locked
        planes.setflags(write=False)
        bands.append(BandStack(name=band, data=planes, pixel_scale=binning * pixel_scale))
    stack = CutoutStack(ids=ids, bands=bands, meta=meta)
    return stack, LabelSet.from_labels(ids, names, schema=schema, source='kosiba2020', meta=meta)


class _Folder:
    """
    The files below a folder by their names, links that lead out of it left out.
    """

    def __init__(self, path):
        self.path = path
        root = path.resolve()
        self.names = {
            file.relative_to(path).as_posix()
            for file in path.rglob('*')
            if file.is_file() and file.resolve().is_relative_to(root)
        }

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def find(self, name):
        """
        Return the one table of this name.
        """
        found = sorted(
            one
            for one in self.names
            if PurePosixPath(one).name == name and not one.startswith('__MACOSX/')
        )
        if len(found) == 1:
            return found[0]
        listing = ', '.join(found[:4] or sorted(self.names)[:4]) or 'nothing'
        reason = (
            f'has {len(found) or "no"} tables {name}, expected one, with the folder '
            f'{name.removesuffix(".csv")}_images beside it; there is {listing}'
        )
        raise TableReadError(self.path, reason)

    def read(self, name, limit):
        """
        Return the content of a file.
        """
        try:
            with (self.path / name).open('rb') as stream:
                content = stream.read(limit + 1)
        except OSError as error:
            raise TableReadError(self.path, f'{name} cannot be read: {error}') from error
        if len(content) > limit:
            raise TableReadError(self.path, _too_large(name, limit))
        return content


class _Zip(_Folder):
    """
    The members of a zip file, after all of them have been looked at.
    """

    def __init__(self, path):
        self.path = path
        try:
            self.file = zipfile.ZipFile(path)
        # zipfile says NotImplementedError of disks and compressions that it does not know
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else error
            reason = f'is no folder and no whole zip file ({words}); fetch it again'
            raise TableReadError(path, reason) from error
        try:
            self._check_members()
        except TableReadError:
            self.file.close()
            raise
        self.names = {info.filename for info in self.file.infolist() if not info.is_dir()}

    def __exit__(self, *exception):
        self.file.close()

    def _check_members(self):
        members = self.file.infolist()
        total = sum(info.file_size for info in members)
        if len(members) > _MOST_MEMBERS or total > _LARGEST_TOTAL:
            reason = (
                f'claims {len(members)} members of {total / 1e9:.3g} GB, more than the '
                f'{_MOST_MEMBERS} of {_LARGEST_TOTAL / 1e9:.3g} GB that are read'
            )
            raise TableReadError(self.path, reason)
        seen = set()
        for info in members:
            # zipfile cuts names at a null
            name = info.orig_filename.replace('\\', '/')
            ratio = info.file_size / max(info.compress_size, 1)
            if name.startswith('/') or ':' in name or '\0' in name or '..' in name.split('/'):
                problem = 'has a name that leads out of the archive'
            elif stat.S_ISLNK(info.external_attr >> 16):
                problem = 'is a link'
            elif info.flag_bits & 0x1:
                problem = 'is encrypted'
            elif info.file_size > _NEVER_A_BOMB and ratio > _LARGEST_RATIO:
                problem = f'claims to unpack to {ratio:.0f} times its size'
            elif info.filename in seen:
                problem = 'is there twice'
            else:
                seen.add(info.filename)
                continue
            reason = f'member {info.orig_filename!r} {problem}; fetch the set anew'
            raise TableReadError(self.path, reason)

    def read(self, name, limit):
        if self.file.getinfo(name).file_size > limit:
            raise TableReadError(self.path, _too_large(name, limit))
        try:
            # no more than what the member claims is unpacked, and its checksum is compared
            return self.file.read(name)
        except Exception as error:
            # whatever the decompressors say of damaged bytes
            reason = f'{name} cannot be unpacked ({type(error).__name__}: {error})'
            raise TableReadError(self.path, reason) from error


def _too_large(name, limit):
    return f'{name} has more than the {limit >> 20} MB that such a file may have'


def _read_table(path, name, content, classes):
    """
    Return identifiers and classes, or say in which row what is wrong.
    """
    try:
        text = content.decode('utf-8-sig')
        reader = csv.DictReader(io.StringIO(text, newline=''), strict=True)
        lacking = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
        rows = [] if lacking else list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableReadError(path, f'{name} is no CSV file in UTF-8 ({error})') from error
    if lacking:
        there = ', '.join(reader.fieldnames or ())[:200] or 'none'
        reason = f'{name} lacks the column {lacking[0]}; there are {there}'
        raise TableReadError(path, reason)
    ids, names = {}, []
    for number, row in enumerate(rows, start=1):
        one, said = ((row[column] or '').strip() for column in _COLUMNS)
        if not one or one.startswith('.') or any(letter in one for letter in '/\\:\0'):
            problem = f'image_id {one!r}, expected the name of a picture'
        elif one in ids:
            problem = f'image_id {one!r} again, as in row {ids[one]}'
        elif said not in classes:
            problem = f'class {said!r}, expected one of {", ".join(classes)}'
        else:
            ids[one] = number
            names.append(said)
            continue
        raise TableReadError(path, f'{name}, row {number}: {problem}')
    if not ids:
        raise TableReadError(path, f'{name} has no row')
    return list(ids), names


def _decode(path, name, content):
    """
    Return the pixels of a picture, shape ``(356, 356, 3)`` of uint8.
    """
    from PIL import Image

    head = content[16:26]
    if not content.startswith(_SIGNATURE) or len(head) < 10:
        raise TableReadError(path, f'{name} is no PNG file')
    # before anything is unpacked; 16 bits would be halved without a word
    width, height, depth, colour = struct.unpack('>IIBB', head)
    if (width, height, depth, colour) != (SIDE, SIDE, 8, 2):
        kind = {0: 'grey', 2: 'RGB', 3: 'palette', 4: 'grey and alpha', 6: 'RGBA'}.get(colour)
        reason = (
            f'{name} has {width} x {height} pixels, {kind} of {depth} bits; expected '
            f'{SIDE} x {SIDE}, RGB of 8 bits'
        )
        raise TableReadError(path, reason)
    try:
        with Image.open(io.BytesIO(content), formats=('PNG',)) as image:
            picture = np.asarray(image)
    except Exception as error:
        # Pillow has no one family of errors for damaged files
        raise TableReadError(path, f'{name} is damaged ({error}); fetch it again') from error
    if np.ptp(picture[..., 0]):
        reason = (
            f'{name} has something in its first channel, which should be empty; expected '
            f'[empty, optical, X-ray]'
        )
        raise TableReadError(path, reason)
    return picture
