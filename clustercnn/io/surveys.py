# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Source lists of the surveys, with their columns under our names.

What is translated, and how, stands in ``SURVEYS``, from the column descriptions of eSASS
and eRASS1 DR1 (Merloni et al. 2024, Table D.1), of 4XMM-DR11 and of the SAS task emldetect.
"""

import dataclasses
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io.ascii import convert_numpy
from astropy.table import Table

from clustercnn.core import CandidateCatalog
from clustercnn.exceptions import DataQualityWarning, TableReadError
from clustercnn.io.missions import unit_named
from clustercnn.io.planes import check_file

__all__ = ['SURVEYS', 'SurveyColumn', 'likely_survey', 'survey_reader']

# survey lists give sqrt(ra_err**2 + dec_err**2), we the error of one coordinate
_RADIAL = 1 / np.sqrt(2)


@dataclasses.dataclass(frozen=True)
class SurveyColumn:
    """
    Where one of our columns is found in a survey's list.

    Parameters
    ----------
    names : tuple of str
        Their names of the column; the first that is there is taken, in any case of letters.
    unit : str, optional
        Unit of their numbers; ``'pix'`` and ``'ct / pix2'`` are turned with the pixel scale.
    factor : float, optional
        What to multiply with.
    offset : float, optional
        What to add; images of surveys count pixels from 1.

    Examples
    --------
    >>> from clustercnn.io.surveys import SURVEYS
    >>> SURVEYS['esass']['extent'].names
    ('EXT',)
    """

    names: tuple
    unit: str | None = None
    factor: float = 1.0
    offset: float = 0.0


def _esass(name):
    """
    Return the names of a column that catalogues write with the number of the band.
    """
    return (name, f'{name}_0', f'{name}_1')


SURVEYS = {
    'esass': {
        'id': SurveyColumn(('DETUID', 'UID', 'ID_SRC', 'ID')),
        'name': SurveyColumn(('IAUNAME', 'NAME')),
        'ra': SurveyColumn(('RA', 'RA_CORR'), 'deg'),
        'dec': SurveyColumn(('DEC', 'DEC_CORR'), 'deg'),
        'pos_err': SurveyColumn(('POS_ERR',), 'arcsec'),
        'pos_err ': SurveyColumn(('RADEC_ERR', 'RADEC_ERR_CORR'), 'arcsec', _RADIAL),
        'x': SurveyColumn(('X_IMA',), offset=-1.0),
        'y': SurveyColumn(('Y_IMA',), offset=-1.0),
        'counts': SurveyColumn(_esass('ML_CTS'), 'ct'),
        'counts_err': SurveyColumn(_esass('ML_CTS_ERR'), 'ct'),
        'background': SurveyColumn(_esass('ML_BKG'), 'ct / arcmin2'),
        'exposure': SurveyColumn(_esass('ML_EXP'), 's'),
        'det_like': SurveyColumn(_esass('DET_LIKE')),
        'extent': SurveyColumn(('EXT',), 'arcsec'),
        'extent_err': SurveyColumn(('EXT_ERR',), 'arcsec'),
        'ext_like': SurveyColumn(('EXT_LIKE',)),
    },
    '4xmm': {
        'id': SurveyColumn(('DETID', 'SRCID')),
        'name': SurveyColumn(('IAUNAME',)),
        'ra': SurveyColumn(('RA', 'SC_RA'), 'deg'),
        'dec': SurveyColumn(('DEC', 'SC_DEC'), 'deg'),
        'pos_err': SurveyColumn(('POSERR', 'SC_POSERR', 'RADEC_ERR'), 'arcsec', _RADIAL),
        'counts': SurveyColumn(('EP_8_CTS', 'SC_EP_8_CTS'), 'ct'),
        'counts_err': SurveyColumn(('EP_8_CTS_ERR', 'SC_EP_8_CTS_ERR'), 'ct'),
        'exposure': SurveyColumn(('EP_ONTIME',), 's'),
        'det_like': SurveyColumn(('EP_8_DET_ML', 'SC_DET_ML')),
        'extent': SurveyColumn(('EP_EXTENT', 'SC_EXTENT'), 'arcsec'),
        'extent_err': SurveyColumn(('EP_EXTENT_ERR', 'SC_EXT_ERR'), 'arcsec'),
        'ext_like': SurveyColumn(('EP_EXTENT_ML', 'SC_EXT_ML')),
    },
    'emldetect': {
        'id': SurveyColumn(('ML_ID_SRC', 'SRC_NUM')),
        'ra': SurveyColumn(('RA',), 'deg'),
        'dec': SurveyColumn(('DEC',), 'deg'),
        'pos_err': SurveyColumn(('RADEC_ERR',), 'arcsec', _RADIAL),
        'x': SurveyColumn(('X_IMA',), offset=-1.0),
        'y': SurveyColumn(('Y_IMA',), offset=-1.0),
        'counts': SurveyColumn(('SCTS', 'EP_CTS'), 'ct'),
        'counts_err': SurveyColumn(('SCTS_ERR', 'EP_CTS_ERR'), 'ct'),
        'background': SurveyColumn(('BG_MAP',), 'ct / pix2'),
        'exposure': SurveyColumn(('EXP_MAP',), 's'),
        'det_like': SurveyColumn(('DET_ML', 'EP_DET_ML')),
        'extent': SurveyColumn(('EXT', 'EP_EXTENT'), 'pix'),
        'extent_err': SurveyColumn(('EXT_ERR', 'EP_EXT_ERR'), 'pix'),
        'ext_like': SurveyColumn(('EXT_ML', 'EP_EXT_ML')),
    },
}
"""
By name of the format and name of our column; a column that is tried second for the same
thing ends in a blank. The likelihoods are -ln P everywhere.
"""

_SIGNS = {
    'esass': ('EXT_LIKE', 'ID_SRC', 'DETUID', 'UID', 'IAUNAME', 'SKYTILE', 'EXT', 'ML_CTS'),
    '4xmm': ('EP_EXTENT_ML',),
    'emldetect': ('RADEC_ERR',),
}


def likely_survey(names):
    """
    Return which survey's list a table may be.

    Parameters
    ----------
    names : iterable of str
        Names of its columns.

    Returns
    -------
    survey : str or None
        A key of ``SURVEYS``.

    Examples
    --------
    >>> from clustercnn.io.surveys import likely_survey
    >>> likely_survey(['ID_SRC', 'RA', 'DEC', 'EXT_LIKE']), likely_survey(['a'])
    ('esass', None)
    """
    there = {name.upper() for name in names}
    if not {'RA', 'DEC'} <= there:
        return '4xmm' if 'SC_EXT_ML' in there else None
    for survey, (sign, *others) in _SIGNS.items():
        # one of its names alone may be that of ours in capitals
        if sign in there and (not others or there.intersection(others)):
            return survey
    return None


def _read_any(path):
    """
    Read a table of whatever kind.
    """
    from clustercnn.io.tables import read_table

    start = check_file(path)
    name = Path(path).name.lower().removesuffix('.gz')
    if name.endswith(('.vot', '.votable', '.xml')):
        return read_table(path, 'votable')
    if name.endswith('.ecsv'):
        return read_table(path, 'ecsv')
    if name.endswith('.csv') and not start.startswith(b'SIMPLE'):
        try:
            # '0042' is no number where it names something
            text = [convert_numpy(str)]
            named = {name for columns in SURVEYS.values() for name in _names_of(columns)}
            named |= {name.lower() for name in named}
            return Table.read(path, format='ascii.csv', converters=dict.fromkeys(named, text))
        except Exception as error:
            reason = f'cannot be read as CSV ({" ".join(str(error).split())[:300]})'
            raise TableReadError(path, reason) from error
    return read_table(path, 'fits')


def _names_of(columns):
    """
    Return how a survey calls identifiers and names.
    """
    return [name for ours in ('id', 'name') if ours in columns for name in columns[ours].names]


def _summary_rows(path, table, by_name):
    """
    Keep the rows that sum over instruments and bands, where a list has others too.
    """
    keep = np.ones(len(table), bool)
    for name in ('ID_INST', 'ID_BAND'):
        if name in by_name:
            keep &= np.ma.filled(np.ma.asarray(table[by_name[name]]), -1) == 0
    if len(table) and not keep.any():
        reason = (
            f'none of its {len(table)} rows sums over instruments and bands (ID_INST = 0 and '
            f'ID_BAND = 0), as emldetect writes them; add these rows, or set both columns to 0 in '
            f'the rows of the one instrument and band that shall count'
        )
        raise TableReadError(path, reason)
    return table[keep]


def _numbers(path, column, definition, pixel_scale):
    """
    Return a column in its unit: the one that the table states, else that of the survey.
    """
    try:
        values = np.ma.filled(np.ma.asarray(column, dtype=np.float64), np.nan)
    except (TypeError, ValueError) as error:
        reason = (
            f"column '{column.name}' holds text ({error}); expected numbers, of positions in "
            f'degrees'
        )
        raise TableReadError(path, reason) from error
    values = values * definition.factor + definition.offset
    if definition.unit is None:
        return values
    scale = pixel_scale.to_value(u.arcsec)
    meant, factor = u.Unit(definition.unit), 1.0
    if definition.unit == 'pix':
        meant, factor = u.arcsec, scale
    elif definition.unit == 'ct / pix2':
        meant, factor = u.ct / u.arcsec**2, scale**-2
    stated = _stated_unit(path, column, in_pixels='pix' in definition.unit)
    if stated is None:
        return values * factor * meant
    # counts are often left out of a unit, or called photons
    for left_out in (u.dimensionless_unscaled, u.ct, u.ct / u.ph, u.ct / u.electron):
        unit = stated * left_out
        if unit.is_equivalent(meant):
            return (values * unit).to(meant)
    reason = f"column '{column.name}' is in {column.unit}; expected {meant} or the like"
    raise TableReadError(path, reason)


def _stated_unit(path, column, *, in_pixels):
    """
    Return the unit of a column, None where it has none that means something.
    """
    text = str(getattr(column, 'unit', None) or '').strip()
    if not text:
        return None
    unit = unit_named(text)
    if unit is None:
        warnings.warn(
            f"{path}: the unit '{text}' of column '{column.name}' is not understood; it is taken "
            f'for that of the survey',
            DataQualityWarning,
            stacklevel=5,
        )
        return None
    # how large pixels are the definition of the survey says, if it is in pixels
    silent = unit == u.dimensionless_unscaled or (in_pixels and u.pix in unit.bases)
    return None if silent else unit


def survey_reader(survey):
    """
    Return the function that reads the lists of a survey.

    Parameters
    ----------
    survey : {'esass', '4xmm', 'emldetect'}
        Name of the format.

    Returns
    -------
    read : callable
        Takes the path of a FITS, VOTable, ECSV or CSV file; ``keep``, names of their columns
        that are kept beside ours; and ``pixel_scale``, that of the image of emldetect, which
        gives extents in pixels (4 arcsec by default, as in the XMM pipeline).

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import Table
    >>> from clustercnn import CandidateCatalog
    >>> table = Table({'ID_SRC': [7], 'RA': [140.3], 'DEC': [3.3], 'EXT': [30.0],
    ...                'EXT_LIKE': [479.0], 'DET_LIKE': [900.0]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.write(Path(folder) / 'list.fits')
    ...     catalog = CandidateCatalog.read(Path(folder) / 'list.fits', format='esass')
    >>> catalog[0].id, catalog[0].extent
    ('7', <Quantity 30. arcsec>)
    """
    columns = SURVEYS[survey]

    def read(path, *, keep=(), pixel_scale=4 * u.arcsec):
        table = _read_any(path)
        by_name = {name.upper(): name for name in reversed(table.colnames)}
        table = _summary_rows(path, table, by_name)
        found = {}
        for ours, definition in columns.items():
            theirs = next((by_name[n] for n in definition.names if n in by_name), None)
            if theirs is None or ours.strip() in found:
                continue
            column = table[theirs]
            if ours in ('id', 'name'):
                absent = np.flatnonzero(np.ma.getmaskarray(np.ma.asarray(column)))
                if ours == 'id' and len(absent):
                    reason = f"column '{theirs}' is empty in row {absent[0]}; expected identifiers"
                    raise TableReadError(path, reason)
                texts = [str(text).strip() for text in column]
                if ours == 'id' or (all(texts) and texts):
                    found[ours] = np.array(texts, dtype=None if texts else 'U32')
                continue
            found[ours.strip()] = _numbers(path, column, definition, pixel_scale)
        missing = [name for name in ('ra', 'dec') if name not in found]
        if missing:
            wanted = ', '.join(' or '.join(columns[name].names) for name in missing)
            listing = ', '.join(table.colnames[:8])
            reason = f'is no list of {survey}: it lacks {wanted}; there are {listing}, ...'
            raise TableReadError(path, reason)
        for name in keep:
            if name not in table.colnames:
                raise TableReadError(path, f"has no column '{name}' to be kept")
            found[name] = table[name]
        try:
            return CandidateCatalog.from_columns(meta={'origin': survey}, **found)
        except (TypeError, ValueError) as error:
            raise TableReadError(path, ' '.join(str(error).split())) from error

    return read
