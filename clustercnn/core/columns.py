# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The catalogue's columns: name, type, unit, UCD and meaning, defined once.

The UCDs follow UCD1+ (IVOA recommendation "The UCD1+ controlled vocabulary").
"""

import dataclasses

import astropy.units as u
import numpy as np

__all__ = [
    'CANDIDATE_COLUMNS',
    'FINDER_COLUMNS',
    'PREDICTION_COLUMNS',
    'ColumnDefinition',
    'column_definition',
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColumnDefinition:
    """
    What a column of the catalogue is.

    Parameters
    ----------
    name : str
        Name in files and tables.
    dtype : type
        Numpy type; `str` for text.
    unit : `~astropy.units.Unit` or None
        Unit, None for pure numbers and text.
    ucd : str
        Unified content descriptor, written to FITS and VOTable.
    description : str
        One line.

    Examples
    --------
    >>> from clustercnn.core.columns import column_definition
    >>> column_definition('extent').unit
    Unit("arcsec")
    """

    name: str
    dtype: type
    unit: object
    ucd: str
    description: str


def _column(name, dtype, unit, ucd, description):
    return ColumnDefinition(
        name=name,
        dtype=dtype,
        unit=None if unit is None else u.Unit(unit),
        ucd=ucd,
        description=description,
    )


CANDIDATE_COLUMNS = (
    _column('id', str, None, 'meta.id;meta.main', 'identifier, unique in the catalogue'),
    _column('name', str, None, 'meta.id', 'designation in the style of the IAU, truncated'),
    _column('ra', np.float64, 'deg', 'pos.eq.ra;meta.main', 'right ascension, ICRS'),
    _column('dec', np.float64, 'deg', 'pos.eq.dec;meta.main', 'declination, ICRS'),
    _column(
        'pos_err', np.float32, 'arcsec', 'stat.error;pos.eq', 'one-sigma error of each coordinate'
    ),
    _column('x', np.float64, 'pix', 'pos.cartesian.x;instr.det', 'column, from 0, pixel centre'),
    _column('y', np.float64, 'pix', 'pos.cartesian.y;instr.det', 'row, from 0, pixel centre'),
    _column(
        'counts', np.float32, 'ct', 'phot.count;em.X-ray', 'source counts, background subtracted'
    ),
    _column('counts_err', np.float32, 'ct', 'stat.error;phot.count;em.X-ray', 'one-sigma error'),
    _column(
        'background',
        np.float32,
        'ct / arcsec2',
        'instr.background;em.X-ray',
        'background at the position',
    ),
    _column('exposure', np.float32, 's', 'time.duration;obs.exposure', 'exposure at the position'),
    _column(
        'significance',
        np.float32,
        None,
        'stat.snr;em.X-ray',
        'detection significance, in equivalent Gaussian sigma',
    ),
    _column('det_like', np.float32, None, 'stat.likelihood', 'detection likelihood, -ln P'),
    _column(
        'extent',
        np.float32,
        'arcsec',
        'phys.angSize;src',
        'core radius of the fitted beta model (beta = 2/3); 0 for a point source',
    ),
    _column('extent_err', np.float32, 'arcsec', 'stat.error;phys.angSize', 'one-sigma error'),
    _column(
        'ext_like',
        np.float32,
        None,
        'stat.likelihood',
        'likelihood of extent against a point source, -ln P',
    ),
    _column('flags', np.int32, None, 'meta.code.qual', 'quality bits, see CandidateFlag'),
)

FINDER_COLUMNS = (
    _column(
        'pair_like',
        np.float32,
        None,
        'stat.likelihood',
        'ln of the likelihood of two point sources over that of one source',
    ),
    _column(
        'core_like',
        np.float32,
        None,
        'stat.likelihood',
        'ln of the likelihood of a cluster round a point source over that of one source',
    ),
    _column(
        'core_counts',
        np.float32,
        'ct',
        'phot.count;em.X-ray',
        'counts of the point source in the centre of the source, among its counts',
    ),
    _column(
        'psf_fwhm',
        np.float32,
        'arcsec',
        'phys.angSize;instr.det.psf',
        'full width at half maximum of the PSF at the position',
    ),
    _column(
        'ellipticity',
        np.float32,
        None,
        'src.morph.param',
        'one less the ratio of the axes of an extended source, before the PSF',
    ),
    _column('ellipticity_err', np.float32, None, 'stat.error;src.morph.param', 'one-sigma error'),
    _column(
        'position_angle',
        np.float32,
        'deg',
        'pos.posAng',
        'of the major axis, from north to east; unknown where round',
    ),
)
"""
What a finder of this package adds to that; absent elsewhere.
"""

PREDICTION_COLUMNS = (
    _column(
        'p_cluster',
        np.float32,
        None,
        'stat.probability',
        'calibrated probability of being a galaxy cluster',
    ),
    _column(
        'p_cluster_std', np.float32, None, 'stat.stdev;stat.probability', 'spread of the ensemble'
    ),
    _column(
        'ood', np.float32, None, 'stat.value', 'distance from the training data, higher = stranger'
    ),
    _column('rank', np.int32, None, 'meta.number', 'place in the order of p_cluster, from 1'),
)

_DEFINITIONS = {
    column.name: column for column in CANDIDATE_COLUMNS + FINDER_COLUMNS + PREDICTION_COLUMNS
}


def column_definition(name):
    """
    Return the definition of a column.

    Parameters
    ----------
    name : str
        Name of the column; ``p_<class>`` is known for every class.

    Returns
    -------
    definition : ColumnDefinition or None
        None for a column that is not the package's own.

    Examples
    --------
    >>> from clustercnn.core.columns import column_definition
    >>> column_definition('p_galaxy').ucd
    'stat.probability'
    >>> column_definition('my_column') is None
    True
    """
    if name in _DEFINITIONS:
        return _DEFINITIONS[name]
    if name.startswith('p_'):
        return _column(
            name,
            np.float32,
            None,
            'stat.probability',
            f'calibrated probability of the class {name[2:]}',
        )
    return None
