# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a candidate is, one of them and a catalogue of them.
"""

import dataclasses
from typing import ClassVar

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io.registry import UnifiedReadWriteMethod
from astropy.table import Column, QTable

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import check_identifiers, check_rows
from clustercnn.core.columns import CANDIDATE_COLUMNS, PREDICTION_COLUMNS, column_definition
from clustercnn.core.connect import make_reader, make_writer
from clustercnn.core.designation import designations
from clustercnn.core.flags import CandidateFlag, decode_flags

__all__ = ['Candidate', 'CandidateCatalog']

_KNOWN_FLAGS = sum(int(flag) for flag in CandidateFlag)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Candidate:
    """
    One detected source, cut loose from its catalogue.

    Parameters
    ----------
    id : str
        Identifier, unique in its catalogue.
    position : `~astropy.coordinates.SkyCoord`
        Scalar sky position.
    name : str, optional
        Designation; made from the position by default.
    pos_err : `~astropy.units.Quantity`, optional
        One-sigma error of each coordinate.
    x, y : float, optional
        Pixel coordinates from 0.
    counts, counts_err : `~astropy.units.Quantity`, optional
        Background-subtracted counts and their error, in ct.
    background : `~astropy.units.Quantity`, optional
        Background in ct / arcsec2.
    exposure : `~astropy.units.Quantity`, optional
        Exposure in s.
    significance : float, optional
        In equivalent Gaussian sigma.
    det_like : float, optional
        Likelihood of the detection, -ln P.
    extent, extent_err : `~astropy.units.Quantity`, optional
        Core radius of the beta model and its error.
    ext_like : float, optional
        Likelihood of the extent, -ln P.
    flags : int, optional
        Bits of `~clustercnn.core.CandidateFlag`.
    extra : dict, optional
        Further columns, such as ``p_cluster`` once classified.

    Raises
    ------
    TypeError
        If the position is not a `~astropy.coordinates.SkyCoord`.
    ValueError
        If it is not a single one, or a flag has no meaning.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> import astropy.units as u
    >>> from clustercnn import Candidate
    >>> candidate = Candidate(id='1', position=SkyCoord(210.2586, 2.8786, unit='deg'),
    ...                       extent=38 * u.arcsec, flags=8)
    >>> candidate.name, candidate.flag_names
    ('CCNN J140102.0+025242', ('BLENDED',))
    """

    id: str
    position: SkyCoord
    name: str = ''
    pos_err: u.Quantity = np.nan * u.arcsec
    x: float = np.nan
    y: float = np.nan
    counts: u.Quantity = np.nan * u.ct
    counts_err: u.Quantity = np.nan * u.ct
    background: u.Quantity = np.nan * u.ct / u.arcsec**2
    exposure: u.Quantity = np.nan * u.s
    significance: float = np.nan
    det_like: float = np.nan
    extent: u.Quantity = np.nan * u.arcsec
    extent_err: u.Quantity = np.nan * u.arcsec
    ext_like: float = np.nan
    flags: int = 0
    extra: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        put = object.__setattr__
        if not isinstance(self.position, SkyCoord):
            msg = f"'position' must be a SkyCoord, got {type(self.position).__name__}"
            raise TypeError(msg)
        if not self.position.isscalar:
            msg = f"'position' must be a single position, got shape {self.position.shape}"
            raise ValueError(msg)
        put(self, 'position', self.position.icrs)
        put(self, 'id', str(self.id))
        for definition in CANDIDATE_COLUMNS:
            if definition.name in ('id', 'name', 'ra', 'dec', 'x', 'y', 'flags'):
                continue
            value = getattr(self, definition.name)
            if definition.unit is None:
                value = float(value)
            else:
                try:
                    number = float(u.Quantity(value).to_value(definition.unit))
                except (TypeError, ValueError) as error:
                    msg = (
                        f"'{definition.name}' must be one value with a unit such as "
                        f'{definition.unit}, got {value!r}'
                    )
                    raise type(error)(msg) from error
                value = u.Quantity(number, definition.unit)
            put(self, definition.name, value)
        for name in ('x', 'y'):
            put(self, name, float(u.Quantity(getattr(self, name), u.pix).value))
        decode_flags(self.flags)
        put(self, 'flags', int(self.flags))
        if not self.name:
            name = designations([self.position.ra.deg], [self.position.dec.deg])[0]
            put(self, 'name', name)
        put(self, 'extra', ReadOnlyDict(self.extra))

    @property
    def flag_names(self):
        """
        Names of the flags that are set, tuple of str.
        """
        return decode_flags(self.flags)

    def replace(self, **changes):
        """
        Return a copy with other values.

        Parameters
        ----------
        **changes
            New values by attribute name.

        Returns
        -------
        candidate : Candidate
            Validated anew.
        """
        return dataclasses.replace(self, **changes)

    def _facts(self):
        facts = [
            ('id', self.id),
            ('name', self.name),
            ('position', self.position.to_string('hmsdms', precision=1)),
            ('counts', f'{self.counts.value:.1f} +- {self.counts_err.value:.1f}'),
            ('significance', f'{self.significance:.1f} sigma'),
            ('extent', f'{self.extent.value:.1f} +- {self.extent_err:.1f}'),
            ('likelihoods', f'detection {self.det_like:.1f}, extent {self.ext_like:.1f}'),
            ('flags', ', '.join(self.flag_names) or 'none'),
        ]
        return facts + [(name, value) for name, value in self.extra.items()]

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


class CandidateCatalog:
    """
    Detected sources, a thin frozen shell round a `~astropy.table.QTable`.

    Parameters
    ----------
    table : `~astropy.table.Table`
        Must have the columns of ``CANDIDATE_COLUMNS``; columns beyond those are kept.
        Columns of the package without a unit are given theirs; other units are converted.
    meta : dict, optional
        Provenance; that of the table by default.

    Raises
    ------
    ValueError
        If a column is missing, an identifier is empty or occurs twice, a position is not on the
        sky, or a flag has no meaning. Right ascensions are brought to 0 to 360 degrees.

    Examples
    --------
    >>> from clustercnn import CandidateCatalog
    >>> catalog = CandidateCatalog.from_columns(ra=[10.0, 10.1], dec=[2.0, 2.1],
    ...                                         counts=[120.0, 40.0], extent=[15.0, 0.0])
    >>> len(catalog), catalog.ids
    (2, ('1', '2'))
    >>> catalog[catalog['counts'].value > 100][0].name
    'CCNN J004000.0+020000'
    """

    __slots__ = ('_table',)

    read: ClassVar = UnifiedReadWriteMethod(make_reader('Read a catalogue of candidates.'))
    write: ClassVar = UnifiedReadWriteMethod(make_writer('Write a catalogue of candidates.'))

    def __init__(self, table, *, meta=None):
        missing = [
            definition.name
            for definition in CANDIDATE_COLUMNS
            if definition.name not in table.colnames
        ]
        if missing:
            msg = (
                f'the catalogue lacks the columns {", ".join(missing)}; '
                f'CandidateCatalog.from_columns() fills what is not known'
            )
            raise ValueError(msg)
        clean = QTable(meta=dict(table.meta if meta is None else meta))
        for definition in CANDIDATE_COLUMNS:
            clean[definition.name] = _as_column(table[definition.name], definition)
        for name in table.colnames:
            if name not in clean.colnames:
                definition = column_definition(name)
                clean[name] = (
                    table[name] if definition is None else _as_column(table[name], definition)
                )
        ids = check_identifiers(clean['id'])
        if '' in ids:
            msg = f'the identifier of row {ids.index("")} is empty; give it one'
            raise ValueError(msg)
        for name in ('ra', 'dec'):
            bad = ~np.isfinite(clean[name].value)
            if bad.any():
                msg = f"'{name}' of row {np.flatnonzero(bad)[0]} is not finite"
                raise ValueError(msg)
        bad = np.abs(clean['dec'].value) > 90
        if bad.any():
            row = np.flatnonzero(bad)[0]
            msg = f"'dec' of row {row} is {clean['dec'].value[row]:g} deg, beyond a pole"
            raise ValueError(msg)
        outside = (clean['ra'].value < 0) | (clean['ra'].value >= 360)
        if outside.any():
            # the remainder of a tiny negative number is 360 itself
            around = np.mod(clean['ra'].value[outside], 360.0) % 360.0
            clean['ra'][outside] = around * u.deg
        bad = (clean['flags'] & ~_KNOWN_FLAGS) != 0
        if bad.any():
            row = np.flatnonzero(bad)[0]
            msg = (
                f"'flags' of row {row} is {clean['flags'][row]} and has bits without a meaning; "
                f'the known ones sum to {_KNOWN_FLAGS}'
            )
            raise ValueError(msg)
        object.__setattr__(self, '_table', clean)

    def __setattr__(self, name, value):
        msg = f"a CandidateCatalog cannot be changed; use with_columns() to set '{name}'"
        raise AttributeError(msg)

    def __getstate__(self):
        return {'_table': self._table}

    def __setstate__(self, state):
        object.__setattr__(self, '_table', state['_table'])

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    @classmethod
    def from_columns(cls, *, ra, dec, acronym='CCNN', meta=None, **columns):
        """
        Make a catalogue from arrays; what is not given is NaN.

        Parameters
        ----------
        ra, dec : array-like or `~astropy.units.Quantity`
            ICRS positions; plain numbers are degrees.
        acronym : str, optional
            First part of the designations.
        meta : dict, optional
            Provenance.
        **columns
            Further columns by name; plain numbers are in the column's unit.

        Returns
        -------
        catalog : CandidateCatalog
            With identifiers 1, 2, ... unless ``id`` is given.

        Examples
        --------
        >>> from clustercnn import CandidateCatalog
        >>> CandidateCatalog.from_columns(ra=[359.99999], dec=[0.0])[0].name
        'CCNN J235959.9+000000'
        """
        columns = {'ra': ra, 'dec': dec, **columns}
        lengths = {name: len(np.atleast_1d(values)) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            listing = ', '.join(f'{name}: {length}' for name, length in lengths.items())
            msg = f'all columns must have one length, got {listing}'
            raise ValueError(msg)
        n_rows = lengths['ra']
        table = QTable(meta=meta or {})
        for definition in CANDIDATE_COLUMNS:
            if definition.name in columns:
                table[definition.name] = _as_column(columns[definition.name], definition)
            elif definition.name == 'id':
                table['id'] = Column([str(row + 1) for row in range(n_rows)], dtype='U16')
            elif definition.name == 'name':
                table['name'] = Column(np.full(n_rows, ''), dtype='U32')
            elif definition.name == 'flags':
                table['flags'] = np.zeros(n_rows, np.int32)
            else:
                filler = np.full(n_rows, np.nan, definition.dtype)
                table[definition.name] = _as_column(filler, definition)
        if 'name' not in columns:
            ra_values, dec_values = table['ra'].value, table['dec'].value
            finite = np.isfinite(ra_values).all() and np.isfinite(dec_values).all()
            if n_rows and finite:
                names = designations(ra_values, dec_values, acronym=acronym)
                table['name'] = Column(names, dtype=f'U{max(32, *map(len, names))}')
        for name, values in columns.items():
            if name not in table.colnames:
                definition = column_definition(name)
                table[name] = values if definition is None else _as_column(values, definition)
        return cls(table)

    @classmethod
    def empty(cls, *, meta=None):
        """
        Return a catalogue without rows and with every column.

        Parameters
        ----------
        meta : dict, optional
            Provenance.

        Returns
        -------
        catalog : CandidateCatalog
            Of length 0.

        Examples
        --------
        >>> from clustercnn import CandidateCatalog
        >>> len(CandidateCatalog.empty())
        0
        """
        return cls.from_columns(ra=np.zeros(0), dec=np.zeros(0), meta=meta)

    @property
    def table(self):
        """
        The content as a `~astropy.table.QTable`; a copy, free to be changed.
        """
        return self._table.copy()

    @property
    def meta(self):
        """
        Provenance, read-only.
        """
        return ReadOnlyDict(self._table.meta)

    @property
    def column_names(self):
        """
        Names of the columns, tuple of str.
        """
        return tuple(self._table.colnames)

    @property
    def ids(self):
        """
        Identifiers, tuple of str.
        """
        return tuple(str(value) for value in self._table['id'])

    @property
    def positions(self):
        """
        Sky positions, `~astropy.coordinates.SkyCoord` in ICRS.
        """
        return SkyCoord(ra=self._table['ra'], dec=self._table['dec'], frame='icrs')

    def __len__(self):
        return len(self._table)

    def __iter__(self):
        return (self[row] for row in range(len(self)))

    def __contains__(self, name):
        return name in self._table.colnames

    def __getitem__(self, item):
        if isinstance(item, str):
            if item not in self._table.colnames:
                msg = f"there is no column '{item}'; there are {', '.join(self.column_names)}"
                raise KeyError(msg)
            return self._table[item].copy()
        if isinstance(item, (int, np.integer)):
            return self._candidate(range(len(self))[item])
        return type(self)(self._table[check_rows(item, len(self))])

    def _candidate(self, row):
        values = {name: self._table[name][row] for name in self._table.colnames}
        position = SkyCoord(ra=values.pop('ra'), dec=values.pop('dec'), frame='icrs')
        own = {definition.name for definition in CANDIDATE_COLUMNS}
        extra = {name: values.pop(name) for name in list(values) if name not in own}
        extra = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in extra.items()
        }
        values['name'] = str(values['name'])
        return Candidate(position=position, extra=extra, **values)

    def select(self, ids):
        """
        Return the rows with these identifiers, in this order.

        Parameters
        ----------
        ids : iterable of str
            Identifiers.

        Returns
        -------
        catalog : CandidateCatalog
            As many rows as identifiers.

        Raises
        ------
        KeyError
            If some are not in the catalogue; names and counts them.
        """
        return self[_rows_of(self.ids, ids)]

    def with_columns(self, **columns):
        """
        Return a catalogue with columns added or replaced.

        Parameters
        ----------
        **columns
            Values by column name.

        Returns
        -------
        catalog : CandidateCatalog
            Validated anew.
        """
        table = self._table.copy()
        for name, values in columns.items():
            definition = column_definition(name)
            table[name] = values if definition is None else _as_column(values, definition)
        return type(self)(table)

    def sort_by(self, name, *, descending=False):
        """
        Return the catalogue in another order; ties keep theirs.

        Parameters
        ----------
        name : str
            Column to sort by; rows without a value come last.
        descending : bool, optional
            Whether the largest comes first.

        Returns
        -------
        catalog : CandidateCatalog
            With the same rows.
        """
        values = np.asarray(self[name])
        if values.dtype.kind == 'f':
            key = np.where(np.isnan(values), np.inf, -values if descending else values)
            return self[np.argsort(key, kind='stable')]
        order = np.argsort(values, kind='stable')
        if descending:
            # reversing twice keeps ties in their order
            order = len(self) - 1 - np.argsort(values[::-1], kind='stable')[::-1]
        return self[order]

    def flagged(self, *names):
        """
        Say which rows have at least one of these flags.

        Parameters
        ----------
        *names : str or CandidateFlag
            Flags.

        Returns
        -------
        flagged : 1D `~numpy.ndarray` of bool
            One value a row.
        """
        bits = 0
        for name in names:
            bits |= int(CandidateFlag[name] if isinstance(name, str) else name)
        return (np.asarray(self._table['flags']) & bits) != 0

    def extended(self):
        """
        Say which rows are extended sources.

        Returns
        -------
        extended : 1D `~numpy.ndarray` of bool
            True where ``extent`` is above 0 and ``ext_like`` is at least 3, as in eRASS1
            (Merloni et al. 2024, A&A 682, A34), or not known.
        """
        extent, likelihood = (np.asarray(self._table[name]) for name in ('extent', 'ext_like'))
        return (np.nan_to_num(extent) > 0) & ~(likelihood < 3)

    def _facts(self):
        facts = [('candidates', len(self))]
        if len(self):
            significance = np.asarray(self._table['significance'])
            facts.append(('extended', int(self.extended().sum())))
            if np.isfinite(significance).any():
                facts.append(('highest significance', f'{np.nanmax(significance):.1f} sigma'))
        predicted = [d.name for d in PREDICTION_COLUMNS if d.name in self._table.colnames]
        facts.append(('classified', 'yes' if predicted else 'no'))
        facts.append(('columns', ', '.join(self.column_names)))
        return facts

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        figure = self._table[:20]._repr_html_() if len(self) else ''
        return html_summary(type(self).__name__, self._facts()) + figure


def _as_column(values, definition):
    """
    Return values with the type and unit that a column has by definition.
    """
    if definition.dtype is str:
        # what is masked is not known, whatever lies beneath
        text = np.ma.asarray(values)
        text = (
            text.filled('')
            if text.dtype.kind in 'SU'
            else np.where(np.ma.getmaskarray(text), '', text.data.astype(str))
        )
        text = np.char.decode(text, 'utf-8') if text.dtype.kind == 'S' else text.astype(str)
        # a table of no rows must still be able to take names
        return Column(text if text.size else text.astype('U32'), description=definition.description)
    if hasattr(values, 'filled'):
        values = values.filled(0 if np.dtype(definition.dtype).kind in 'iu' else np.nan)
    unit = getattr(values, 'unit', None)
    if definition.unit is None:
        if unit not in (None, u.dimensionless_unscaled):
            msg = f"column '{definition.name}' is a pure number, got the unit {unit}"
            raise u.UnitsError(msg)
        column = Column(np.asarray(values, dtype=definition.dtype))
        column.description = definition.description
        return column
    if unit is None:
        quantity = u.Quantity(np.asarray(values), definition.unit, dtype=definition.dtype)
    else:
        quantity = u.Quantity(
            u.Quantity(values).to(definition.unit), dtype=definition.dtype, copy=True
        )
    quantity = np.atleast_1d(quantity)
    quantity.info.description = definition.description
    return quantity


def _rows_of(own_ids, wanted_ids):
    """
    Return the row of each wanted identifier.
    """
    rows = {name: row for row, name in enumerate(own_ids)}
    wanted = [str(name) for name in wanted_ids]
    missing = [name for name in wanted if name not in rows]
    if missing:
        listing = ', '.join(missing[:5]) + (', ...' if len(missing) > 5 else '')
        msg = f'{len(missing)} of {len(wanted)} identifiers are not there: {listing}'
        raise KeyError(msg)
    return np.array([rows[name] for name in wanted], dtype=np.intp)
