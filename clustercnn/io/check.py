# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a file is, what is wrong with it, and what to do.
"""

import dataclasses
import gzip
import json
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import Table

from clustercnn.core import (
    CandidateCatalog,
    CutoutStack,
    LabelSet,
    MultiBandCutout,
    pixel_scale_of,
)
from clustercnn.core.label import names_nothing
from clustercnn.exceptions import (
    ClusterCNNError,
    DataQualityWarning,
    FluxImageError,
    ImageReadError,
    ModelFileError,
)
from clustercnn.io.events import read_events
from clustercnn.io.images import read_image, read_map
from clustercnn.io.missions import dispersion, mission_of, role_of, unit_of
from clustercnn.io.planes import check_file, open_hdus, read_plane
from clustercnn.io.surveys import likely_survey
from clustercnn.io.tables import read_table
from clustercnn.io.zooniverse import read_classifications

__all__ = ['FileReport', 'check_files']

_LARGEST_MODEL_HEADER = 100 << 20
_SMOOTH = 'smooth image: an exposure map or an optical image'


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileReport:
    """
    What was learnt about a file.

    Parameters
    ----------
    path : str
        The file.
    kind : str
        What it is.
    problems : tuple of str, optional
        What makes it unusable, and what to do.
    doubts : tuple of str, optional
        What deserves a look although it can be used.
    facts : dict, optional
        What was read.

    Examples
    --------
    >>> from clustercnn.io import FileReport
    >>> FileReport(path='a.fits', kind='image').ok
    True
    """

    path: str
    kind: str
    problems: tuple = ()
    doubts: tuple = ()
    facts: dict = dataclasses.field(default_factory=dict)

    @property
    def ok(self):
        """
        Whether the file can be used.
        """
        return not self.problems


def check_files(paths):
    """
    Look at files of any kind.

    Parameters
    ----------
    paths : iterable of str or path-like
        The files. Exposure and background maps are compared with the first counts image
        among them.

    Returns
    -------
    reports : list of FileReport
        One a file.

    Examples
    --------
    >>> from clustercnn.io import check_files
    >>> report = check_files(['no-such-file.fits'])[0]
    >>> report.ok, report.problems
    (False, ('no-such-file.fits: no such file; check the name',))
    """
    images = {}
    reports = [_check(path, images) for path in paths]
    first = next((images[r.path] for r in reports if r.path in images), None)
    if first is None:
        return reports
    return [_against(report, first) for report in reports]


def _check(path, images):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        try:
            report = _look(path, images)
        except (ClusterCNNError, OSError, ValueError) as error:
            report = FileReport(path=str(path), kind='unusable', problems=(_line(error),))
        except Exception as error:  # noqa: BLE001 - to be told, whatever it is
            problem = f'{path}: {type(error).__name__}: {_line(error)} (not foreseen: report it)'
            report = FileReport(path=str(path), kind='unusable', problems=(problem,))
    told = {_line(w.message) for w in caught if issubclass(w.category, UserWarning)}
    return dataclasses.replace(report, doubts=(*report.doubts, *sorted(told)))


def _line(error):
    return ' '.join(str(error).split())


def _look(path, images):
    start = check_file(path)
    name = Path(path).name.lower()
    if start.startswith(b'\x89HDF'):
        return _of_cutouts(path, CutoutStack.read(path, format='hdf5'))
    if name.endswith('.safetensors'):
        return _of_model(path)
    if name.endswith('.reg'):
        return FileReport(path=str(path), kind='regions')
    if name.removesuffix('.gz').endswith(('.ecsv', '.vot', '.votable', '.xml', '.csv')):
        return _of_text_table(path, name.removesuffix('.gz'))
    kind, columns, n_rows = open_hdus(path, _survey_of_hdus)
    if kind == 'clustercnn cutouts':
        return _of_cutouts(path, CutoutStack.read(path, format='fits'))
    if kind == 'clustercnn cutout':
        cutout = MultiBandCutout.read(path, format='fits')
        return FileReport(path=str(path), kind='cutout', facts={'bands': _bands(cutout)})
    if kind == 'image' or columns is None:
        return _of_image(path, images)
    return _of_table(path, columns, n_rows)


def _survey_of_hdus(hdus):
    """
    Return a kind of ours, ``'image'`` or None, and columns and rows of the first table.
    """
    kind, columns, n_rows = None, None, 0
    for number, item in hdus:
        if number == 0 and str(item.header.get('CCNNKIND', '')).startswith('clustercnn cutout'):
            return item.header['CCNNKIND'], None, 0
        if item.is_image and len(item.shape) >= 2 and min(item.shape) > 0:
            return 'image', None, 0
        if isinstance(item, (fits.BinTableHDU, fits.TableHDU)) and columns is None:
            columns, n_rows = list(item.columns.names), item.header.get('NAXIS2', 0)
            if item.name == 'EVENTS' or str(item.header.get('HDUCLAS1', '')) == 'EVENTS':
                kind = 'events'
    return kind, ['EVENTS'] if kind == 'events' else columns, n_rows


def _of_table(path, columns, n_rows):
    name = str(path)
    facts = {'rows': int(n_rows)}
    if columns == ['EVENTS']:
        image = read_events(path)
        facts |= image.meta['events'] | {'mission': image.mission}
        return FileReport(path=name, kind='event list', facts=facts)
    if {'item', 'annotator', 'label'} <= set(columns):
        return _of_votes(path)
    if {'id', 'ra', 'dec', 'flags'} <= set(columns):
        CandidateCatalog.read(path)
        return FileReport(path=name, kind='catalogue', facts=facts)
    if 'id' in columns and ('label' in columns or 'p_cluster' in columns):
        kind = 'labels' if 'label' in columns else 'predictions'
        if kind == 'labels':
            facts |= {k: n for k, n in LabelSet.read(path).counts().items() if n}
        return FileReport(path=name, kind=kind, facts=facts)
    survey = likely_survey(columns)
    if survey is not None:
        CandidateCatalog.read(path, format=survey)
        words = f"read it with CandidateCatalog.read(..., format='{survey}')"
        return FileReport(path=name, kind=f'source list of {survey}', facts=facts, doubts=(words,))
    listing = ', '.join(columns[:6]) + (', ...' if len(columns) > 6 else '')
    names = {column.casefold() for column in columns}
    if {'ra', 'dec'} <= names:
        hint = 'positions become a catalogue by CandidateCatalog.from_columns(ra=..., dec=...)'
    elif 'id' in columns:
        hint = (
            'a column of classes is called label; a column a person is read by clustercnn labels '
            'consensus --item id --annotator-columns ...'
        )
    else:
        hint = 'expected id, ra and dec, id and label, or item, annotator and label'
    words = f'{path}: is a table of unknown columns ({listing}); {hint}'
    return FileReport(path=name, kind='table', facts=facts, problems=(words,))


def _of_votes(path):
    """
    Count what a table of votes holds.
    """
    name = str(path).lower()
    if name.endswith('.csv.gz'):
        words = f'{path}: is a table of votes that is compressed; unpack it first'
        return FileReport(path=str(path), kind='table of votes', problems=(words,))
    kinds = (('.ecsv', 'ecsv'), ('.csv', 'csv'), (('.vot', '.votable', '.xml'), 'votable'))
    table = read_table(path, next((kind for ends, kind in kinds if name.endswith(ends)), 'fits'))
    texts, problems = {}, []
    for column in ('item', 'annotator', 'label'):
        hidden = np.ma.getmaskarray(np.ma.asarray(table[column]))
        cells = zip(table[column], hidden, strict=True)
        texts[column] = ['' if masked else str(cell).strip() for cell, masked in cells]
        if column != 'label' and '' in texts[column]:
            row = texts[column].index('') + 1
            problems.append(f"{path}: row {row} has nothing in the column '{column}'; fill it in")
    n_silent = sum(map(names_nothing, texts['label']))
    facts = {'items': len(set(texts['item'])), 'annotators': len(set(texts['annotator']))}
    facts |= {'votes': len(table) - n_silent}
    facts |= {'empty or unknown': n_silent} if n_silent else {}
    return FileReport(path=str(path), kind='table of votes', facts=facts, problems=tuple(problems))


def _is_export(path):
    """
    Return whether the header of a CSV file is that of a Zooniverse classification export.
    """
    path = Path(path)
    with (gzip.open if path.suffix == '.gz' else open)(path, 'rb') as stream:
        header = stream.readline(1 << 16)
    return b'classification_id' in header and b'annotations' in header


def _of_text_table(path, name):
    if name.endswith('.csv'):
        if _is_export(path):
            votes = read_classifications(path)
            facts = {'rows': votes.meta['n_rows'], 'answers': len(votes)} | votes.meta['dropped']
            return FileReport(path=str(path), kind='Zooniverse export', facts=facts)
        try:
            table = Table.read(path, format='ascii.csv')
        except Exception as error:
            raise ImageReadError(path, f'cannot be read as CSV ({_line(error)[:300]})') from error
    else:
        table = read_table(path, 'ecsv' if name.endswith('.ecsv') else 'votable')
    return _of_table(path, table.colnames, len(table))


def _bands(stack):
    words = []
    for name, band in stack.bands.items():
        ny, nx = band.shape[-2:]
        words.append(f'{name} {nx} x {ny} of {band.pixel_scale.value:.3g} arcsec')
    return '; '.join(words)


def _of_cutouts(path, stack):
    facts = {'cutouts': len(stack), 'bands': _bands(stack)}
    return FileReport(path=str(path), kind='cutouts', facts=facts)


def _of_model(path):
    """
    Look at the head of a model without loading it.
    """
    with Path(path).open('rb') as stream:
        size = int.from_bytes(stream.read(8), 'little')
        if not 2 <= size <= min(_LARGEST_MODEL_HEADER, Path(path).stat().st_size - 8):
            msg = f'{path}: is no safetensors file, or truncated: its head claims {size} bytes'
            raise ModelFileError(msg)
        head = stream.read(size)
    try:
        content = json.loads(head)
        metadata = content.pop('__metadata__', {})
        end = 8 + size + max((entry['data_offsets'][1] for entry in content.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f'{path}: the head of the model cannot be read ({_line(error)[:200]}); fetch it again'
        raise ModelFileError(msg) from error
    if end > Path(path).stat().st_size:
        msg = f'{path}: ends before the arrays that its head lists; truncated, fetch it again'
        raise ModelFileError(msg)
    facts = {'arrays': len(content)}
    if metadata.get('format'):
        facts['format'] = str(metadata['format'])
    return FileReport(path=str(path), kind='model', facts=facts)


def _of_image(path, images):
    data, header, wcs, number, doubts = read_plane(path)
    for doubt in doubts:
        # gathered with those of other readers
        warnings.warn(f'{path}: {doubt}', DataQualityWarning, stacklevel=2)
    facts = {
        'HDU': number,
        'size': f'{data.shape[1]} x {data.shape[0]}',
        'pixels of': f'{pixel_scale_of(wcs).value:.4g} arcsec',
        'projection': wcs.wcs.ctype[wcs.wcs.lng][-3:],
        'mission': mission_of(header),
    }
    values = np.asarray(data[np.isfinite(data)] if data.dtype.kind == 'f' else data)
    if values.size == 0:
        raise ImageReadError(path, f'HDU {number}: every pixel is NaN; expected an image')
    role = role_of(header, path)
    if role is None and dispersion(data) < 0.02 and values.min() >= 0:
        unit = unit_of(header)
        in_time = unit is not None and unit.is_equivalent(u.s)
        role = 'exposure map' if in_time else _SMOOTH
    if role is None and values.mean() > 0.5 and np.isin(values, (0, 1)).all():
        role = 'mask'
    if role is not None:
        facts['largest'] = f'{values.max():.4g} {header.get("BUNIT", "")}'.strip()
        problems = []
        if values.min() < 0:
            problems.append(f'{path}: HDU {number}: has negative values; expected 0 and above')
        if not values.max() > 0:
            problems.append(f'{path}: HDU {number}: is zero everywhere; leave it out')
        return FileReport(path=str(path), kind=role, facts=facts, problems=tuple(problems))
    if 'EXPOSURE' in header:
        facts['EXPOSURE'] = f'{header["EXPOSURE"]} s'
    if _is_optical(header):
        facts['unit'] = (unit_of(header) or u.adu).to_string()
        return FileReport(path=str(path), kind='optical image', facts=facts)
    try:
        image = read_image(path)
    except FluxImageError as error:
        if facts['mission'] == 'generic':
            words = f'{_line(error)}. As an optical band it can be used as it is'
            return FileReport(
                path=str(path), kind='optical or flux image', facts=facts, doubts=(words,)
            )
        return FileReport(path=str(path), kind='flux image', facts=facts, problems=(_line(error),))
    images[str(path)] = image
    facts['counts'] = round(image.n_counts)
    doubts = []
    if facts['mission'] == 'generic':
        doubts.append('no mission in the header: give the width of the PSF with --psf')
    return FileReport(path=str(path), kind='counts image', facts=facts, doubts=tuple(doubts))


def _is_optical(header):
    """
    Return whether the header names a telescope or a unit that X-ray counts do not have.
    """
    words = f'{header.get("TELESCOP", "")} {header.get("INSTRUME", "")}'.upper()
    if mission_of(header) == 'generic' and any(
        word in words for word in ('SCHMIDT', 'PLATE', 'SPITZER', 'SDSS', 'DECAM', 'HST', 'EUCLID')
    ):
        return True
    unit = unit_of(header)
    return unit is not None and any(
        unit.is_equivalent(other) for other in (u.adu, u.mgy, u.Jy, u.Jy / u.sr, u.mag)
    )


def _against(report, image):
    """
    Compare a map with the image.
    """
    role = {'exposure map': 'exposure', 'background map': 'background'}.get(report.kind)
    if report.kind == _SMOOTH:
        role = 'exposure'
    if role is None or not report.ok:
        return report
    where = image.meta['path']
    try:
        with warnings.catch_warnings():
            # what there is to warn of stands in the report
            warnings.simplefilter('ignore', DataQualityWarning)
            read_map(role, report.path, image_path=where, shape=image.shape, wcs=image.wcs)
    except (ClusterCNNError, OSError, ValueError) as error:
        if report.kind == _SMOOTH:
            return dataclasses.replace(report, doubts=(*report.doubts, f'as a map: {_line(error)}'))
        return dataclasses.replace(report, problems=(_line(error),))
    return dataclasses.replace(report, facts=report.facts | {'on the grid of': where})
