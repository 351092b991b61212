# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a catalogue of known objects says about candidates: counterparts with probabilities.
"""

import itertools

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.table import QTable

from clustercnn.core import LabelSchema, LabelSet

__all__ = ['label_by_catalogue', 'match_catalogue']

# separations beyond so many sigma are not looked at: one in 270 000 counterparts lies there
_REACH = 5.0
_MOST_ROUNDS = 200
# counts of both kinds that Jeffreys' prior of a share is worth
_JEFFREYS = 0.5
# how far candidates are moved to see what they meet by chance, in sigma
_SHIFTS = (15.0, 25.0, 35.0)


def match_catalogue(positions, catalogue, *, error, catalogue_error, density=None, share=None):
    """
    Find counterparts of candidates in a catalogue, with probabilities.

    Parameters
    ----------
    positions : `~astropy.coordinates.SkyCoord`
        Of the candidates, shape ``(n,)``.
    catalogue : `~astropy.coordinates.SkyCoord`
        Of the known objects, shape ``(m,)``.
    error, catalogue_error : `~astropy.units.Quantity`
        One sigma of each coordinate, of all or of each. For clusters that of the catalogue
        holds the distance between its centres and the X-ray peaks, which is
        larger than any measurement.
    density : `~astropy.units.Quantity`, optional
        Objects per area that are there by chance. By default counted round the candidates moved
        by 15 to 35 sigma in twelve directions.
    share : float, optional
        Part of the candidates that has a counterpart. By default the one under which the
        separations found are likeliest.

    Returns
    -------
    matches : `~astropy.table.QTable`
        One row a pair within five sigma: ``candidate`` and ``counterpart``, numbers from 0,
        ``separation``, and ``probability`` that this is the counterpart. The sum over the
        counterparts of a candidate is at most 1; what is missing is the probability that none
        of them is. The metadata hold ``density`` (per square arcmin), ``share`` and
        ``n_candidates``.

    Raises
    ------
    ValueError
        If an error, the density or the share is out of range, or shapes do not fit.

    Notes
    -----
    The reliability of Sutherland & Saunders (1992, MNRAS 259, 413, eq. 5) without
    magnitudes: a counterpart at a distance ``r`` has the likelihood ratio ``Q f(r) / n`` with
    ``f`` a two-dimensional Gaussian, ``n`` the density of unrelated objects and ``Q`` the share of
    candidates that have one. ``Q`` maximises the likelihood of all candidates together
    (Dempster, Laird & Rubin 1977), in place of the count of excess objects.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from clustercnn.labels import match_catalogue
    >>> candidates = SkyCoord([10, 11], [0, 0], unit='deg')
    >>> clusters = SkyCoord([10.001, 12], [0, 0], unit='deg')
    >>> matches = match_catalogue(candidates, clusters, error=4 * u.arcsec,
    ...                           catalogue_error=15 * u.arcsec, density=1 / u.deg**2)
    >>> matches['candidate'].tolist(), matches['counterpart'].tolist()
    ([0], [0])
    >>> bool(matches['probability'][0] > 0.99)
    True
    """
    positions, catalogue = (_one_dimensional(*pair) for pair in (
        ('positions', positions), ('catalogue', catalogue),
    ))  # fmt: skip
    own = _errors('error', error, len(positions))
    theirs = _errors('catalogue_error', catalogue_error, len(catalogue))
    if not len(positions) or not len(catalogue):
        return _table([], [], [], [], density=np.nan, share=np.nan, n_candidates=len(positions))
    if density is None:
        expected = _density_round(positions, catalogue, own, theirs)
    else:
        expected = float(u.Quantity(density).to_value(u.arcsec**-2))
        if not (np.isfinite(expected) and expected > 0):
            msg = f"'density' must be finite and above 0, got {density}"
            raise ValueError(msg)
    if share is not None and not 0 < share < 1:
        msg = f"'share' must lie between 0 and 1, got {share}"
        raise ValueError(msg)
    one, other, separation = _within_reach(positions, catalogue, own, theirs)
    sigma = np.hypot(own[one], theirs[other])
    ratio = np.exp(-0.5 * (separation / sigma) ** 2) / (2 * np.pi * sigma**2) / expected
    total = np.bincount(one, ratio, minlength=len(positions))
    if share is None:
        share = _likeliest_share(total)
    probability = share * ratio / (share * total[one] + 1 - share)
    return _table(
        one,
        other,
        separation,
        probability,
        density=expected * 3600,
        share=share,
        n_candidates=len(positions),
    )


def label_by_catalogue(
    candidates,
    catalogue,
    name,
    *,
    catalogue_error,
    error=None,
    least=0.9,
    schema=None,
    source='spectroscopy',
    **options,
):
    """
    Label candidates that a catalogue of objects of one class knows.

    Parameters
    ----------
    candidates : CandidateCatalog
        The candidates.
    catalogue : `~astropy.coordinates.SkyCoord`
        Positions of the known objects.
    name : str
        Their class.
    catalogue_error : `~astropy.units.Quantity`
        See `match_catalogue`.
    error : `~astropy.units.Quantity`, optional
        That of the candidates; by default their ``pos_err``, at least an arcsec.
    least : float, optional
        Candidates that are known with a lower probability stay unknown: that a catalogue does
        not know an object does not say what it is.
    schema : LabelSchema or iterable of str, optional
        The classes.
    source : str, optional
        Where the labels come from.
    **options
        Of `match_catalogue`.

    Returns
    -------
    labels : LabelSet
        One a candidate. Those known have the class with the weight of the probability.
    matches : `~astropy.table.QTable`
        From `match_catalogue`, all pairs.

    Raises
    ------
    ValueError
        If the schema lacks the class, or an argument is out of range.

    Notes
    -----
    A catalogue object counts for the candidate that it fits best: where two candidates have the
    same likeliest counterpart, the other one stays unknown, and is counted in the metadata.

    Examples
    --------
    >>> import astropy.units as u
    >>> from clustercnn.labels import label_by_catalogue
    >>> from clustercnn.testing import tiny_catalog
    >>> candidates = tiny_catalog(3)
    >>> labels, matches = label_by_catalogue(candidates, candidates.positions[:1], 'cluster',
    ...                                      catalogue_error=5 * u.arcsec,
    ...                                      density=1 / u.deg**2)
    >>> labels.names()
    ['cluster', 'unknown', 'unknown']
    """
    if schema is None:
        schema = LabelSchema.default()
    elif not isinstance(schema, LabelSchema):
        schema = LabelSchema(tuple(schema))
    code = schema.code(name)
    if not 0 < least <= 1:
        msg = f"'least' must lie above 0 and not above 1, got {least}"
        raise ValueError(msg)
    if error is None:
        error = np.full(len(candidates), 1.0) * u.arcsec
        if 'pos_err' in candidates:
            own = u.Quantity(candidates['pos_err']).to_value(u.arcsec)
            known = np.isfinite(own)
            # an error that is not known is taken for a typical one
            typical = np.median(own[known]) if known.any() else 1.0
            error = np.maximum(np.where(known, own, typical), 1.0) * u.arcsec
    matches = match_catalogue(
        candidates.positions, catalogue, error=error, catalogue_error=catalogue_error, **options
    )
    total = np.bincount(matches['candidate'], matches['probability'], minlength=len(candidates))
    found = total >= least
    n_shared = 0
    best, taken = {}, set()
    for row in np.argsort(-matches['probability'], kind='stable'):
        one, other = int(matches['candidate'][row]), int(matches['counterpart'][row])
        if found[one] and one not in best:
            if other in taken:
                found[one] = False
                n_shared += 1
            else:
                best[one] = other
                taken.add(other)
    probability = np.full((len(candidates), schema.n_classes), np.nan)
    probability[found] = np.eye(schema.n_classes)[code]
    labels = LabelSet(
        ids=candidates.ids,
        probability=probability,
        schema=schema,
        weight=np.where(found, total, 1.0),
        source=[source if one else '' for one in found],
        meta={
            'n_catalogue': len(catalogue),
            'n_known': int(found.sum()),
            'n_uncertain': int(((total > 0.1) & (total < least)).sum()),
            'n_object_of_another': n_shared,
            'density_per_arcmin2': matches.meta['density'],
            'share': matches.meta['share'],
        },
    )
    return labels, matches


def _within_reach(positions, catalogue, own, theirs):
    """
    Return both numbers and the separation, in arcsec, of pairs within reach of their own errors.

    Objects are searched by the octave of their errors, so that one with a large error does not
    make the search round all others wide.
    """
    octaves = [np.floor(np.log2(errors)) for errors in (own, theirs)]
    found = [(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))]
    for first, second in itertools.product(*map(np.unique, octaves)):
        rows = np.flatnonzero(octaves[0] == first)
        others = np.flatnonzero(octaves[1] == second)
        radius = _REACH * np.hypot(own[rows].max(), theirs[others].max()) * u.arcsec
        near = search_around_sky(positions[rows], catalogue[others], radius)
        one, other, separation = rows[near[0]], others[near[1]], near[2].to_value(u.arcsec)
        kept = separation <= _REACH * np.hypot(own[one], theirs[other])
        found.append((one[kept], other[kept], separation[kept]))
    one, other, separation = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort([other, one])
    return one[order], other[order], separation[order]


def _likeliest_share(total):
    """
    Return the share of candidates with a counterpart, by expectation maximisation.

    Its prior is Jeffreys' for a share, without which a few candidates would all have one or none.
    """
    share = 0.5
    for _ in range(_MOST_ROUNDS):
        before = share
        matched = float((share * total / (share * total + 1 - share)).sum())
        share = (matched + _JEFFREYS) / (len(total) + 2 * _JEFFREYS)
        if abs(share - before) < 1e-7:
            break
    return share


def _density_round(positions, catalogue, own, theirs):
    """
    Return how many objects there are by chance in an arcsec squared, near the candidates.
    """
    sigma = float(np.median(np.hypot(own, np.median(theirs))))
    found = 0
    for length, angle in itertools.product(_SHIFTS, np.arange(12) * 30.0):
        moved = positions.directional_offset_by(angle * u.deg, length * sigma * u.arcsec)
        found += len(search_around_sky(moved, catalogue, _REACH * sigma * u.arcsec)[0])
    area = 12 * len(_SHIFTS) * len(positions) * np.pi * (_REACH * sigma) ** 2
    # where none is found, as if there was half an object
    return max(found, 0.5) / area


def _one_dimensional(name, positions):
    if not isinstance(positions, SkyCoord):
        msg = f"'{name}' must be a SkyCoord, got {type(positions).__name__}"
        raise TypeError(msg)
    positions = positions.reshape(-1) if positions.shape == () else positions
    if positions.ndim != 1:
        msg = f"'{name}' must have one dimension, got shape {positions.shape}"
        raise ValueError(msg)
    unit = positions.spherical
    wrong = ~(np.isfinite(unit.lon.value) & np.isfinite(unit.lat.value))
    if wrong.any():
        msg = f"'{name}' has no position in row {np.flatnonzero(wrong)[0]}; leave such rows out"
        raise ValueError(msg)
    return positions


def _errors(name, error, number):
    if not isinstance(error, u.Quantity):
        msg = f"'{name}' must be an angle with a unit, such as 4 * u.arcsec, got {error!r}"
        raise TypeError(msg)
    values = np.atleast_1d(error.to_value(u.arcsec))
    if values.shape not in ((1,), (number,)):
        msg = f"'{name}' must have one value or {number}, got {values.size}"
        raise ValueError(msg)
    wrong = ~(np.isfinite(values) & (values > 0))
    if wrong.any():
        msg = f"'{name}' must be finite and above 0, got {values[wrong][0]:g} arcsec"
        raise ValueError(msg)
    return np.broadcast_to(values, number).astype(float)


def _table(one, other, separation, probability, **facts):
    table = QTable(meta=facts)
    table['candidate'] = np.asarray(one, np.int64)
    table['counterpart'] = np.asarray(other, np.int64)
    table['separation'] = np.asarray(separation, float) * u.arcsec
    table['probability'] = np.asarray(probability, float)
    return table
