# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Event lists: photons one by one, binned into an image of counts.
"""

import dataclasses

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from clustercnn._utils.validation import check_angle
from clustercnn.core import XrayImage
from clustercnn.exceptions import ImageReadError
from clustercnn.io._good_times import DETECTORS, GoodTimes, are_good_times, outside_good_times
from clustercnn.io.images import note, read_map
from clustercnn.io.missions import (
    has_main_instrument,
    mission_named,
    mission_of,
    psf_fwhm_of,
)
from clustercnn.io.planes import DAMAGES, first_few, is_wanted, open_hdus, read_plane

__all__ = ['holds_events', 'read_events']

_LARGEST_SIDE = 20_000
_LARGEST_PIXELS = 1e8


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Convention:
    """
    How the event lists of a mission are written.

    Parameters
    ----------
    energy : tuple of str
        Columns that hold the energy, the first that is there is taken.
    electronvolt : float or None
        Of one unit of that column, where it does not say or says channels; None: not known.
    pixel_scale : float
        Of the image in arcsec, unless another is asked for.
    bad_flags : int
        Bits of FLAG that make an event unusable.
    patterns : tuple of int
        Usable values of PATTERN, PAT_TYP or GRADE; empty for all.
    """

    energy: tuple = ('ENERGY', 'PI')
    electronvolt: float | None = 1.0
    pixel_scale: float = 4.0
    bad_flags: int = 0
    patterns: tuple = ()


# XMM-Newton: #XMMEA_EP and patterns to 4 for pn, #XMMEA_EM and patterns to 12 for MOS (Users'
# Guide to the SAS, section 4.3); eROSITA: valid patterns and the flags left out for DR1 (Merloni
# et al. 2024, A&A 682, A34); Chandra: ASCA grades (Proposers' Observatory Guide, table 6.7);
# ROSAT PSPC: PI channels of 10 eV (ROSAT User's Handbook)
_CONVENTIONS = {
    'XMM': _Convention(energy=('PI',), bad_flags=0x766BA000, patterns=tuple(range(13))),
    'XMM EPN': _Convention(energy=('PI',), bad_flags=0x2FB002C, patterns=tuple(range(5))),
    'eROSITA': _Convention(energy=('PI',), bad_flags=0xC00FFF30, patterns=(1, 2, 3, 4)),
    'Chandra': _Convention(energy=('ENERGY',), pixel_scale=1.968, patterns=(0, 2, 3, 4, 6)),
    'ROSAT': _Convention(energy=('PI',), electronvolt=10.0, pixel_scale=15.0),
    # of their channels nothing was found that could be cited
    'Einstein Probe': _Convention(energy=('ENERGY', 'PI'), electronvolt=None, pixel_scale=9.6),
}
_UNKNOWN = _Convention(electronvolt=None)
_KEPT = ('X', 'Y', 'PI', 'ENERGY', 'FLAG', 'PATTERN', 'PAT_TYP', 'GRADE')
_TIMED = ('TIME', *DETECTORS)
_OUTSIDE = 'outside the good times'
# if such a share of them is, times and intervals may not belong together
_MANY_OUTSIDE = 0.5
_BELONG = (
    'whether TIME and good time intervals belong together; good_time_intervals=False ignores these'
)
_WITHOUT_ENERGIES = ('HRI', 'HRC')


def _is_events(item):
    if not isinstance(item, fits.BinTableHDU):
        return False
    names = {name.upper() for name in item.columns.names}
    return {'X', 'Y'} <= names and (
        item.name == 'EVENTS' or str(item.header.get('HDUCLAS1', '')) == 'EVENTS'
    )


def holds_events(path):
    """
    Say whether a FITS file holds an event list with sky positions.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    holds : bool
        True if it does.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.io import fits
    >>> from clustercnn.io.events import holds_events
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.PrimaryHDU().writeto(Path(folder) / 'a.fits')
    ...     holds_events(Path(folder) / 'a.fits')
    False
    """
    return open_hdus(path, lambda hdus: any(_is_events(item) for _, item in hdus))


def read_events(
    path,
    *,
    energy_band=(0.5, 2.0) * u.keV,
    pixel_scale=None,
    exposure=None,
    background=None,
    hdu=None,
    psf_fwhm=None,
    mission=None,
    all_events=False,
    good_time_intervals=True,
):
    """
    Read an event list and bin it into an image of counts.

    Parameters
    ----------
    path : str or path-like
        FITS file with a table of events: columns X and Y with their world coordinates, and
        PI or ENERGY.
    energy_band : 2 `~astropy.units.Quantity`, optional
        Lower and upper energy; events from the lower up to but without the upper are taken.
    pixel_scale : `~astropy.units.Quantity`, optional
        Of the image; by default usual for the mission, or that of the exposure map.
    exposure, background : str or path-like, optional
        Maps; the events are then binned onto the grid of the first of them.
    hdu : int or str, optional
        Which table to take.
    psf_fwhm : `~astropy.units.Quantity`, optional
        Width of the PSF; that of the mission by default.
    mission : str, optional
        By default as the header says.
    all_events : bool, optional
        Whether to take also those events that the mission's flags and patterns (or grades)
        or the good time intervals of the file leave out.
    good_time_intervals : bool, optional
        Whether to leave out events outside the good time intervals of the file.

    Returns
    -------
    image : XrayImage
        Its ``meta['events']`` says how many events there were and why how many were left out.

    Raises
    ------
    ImageReadError
        If there is no event list, a column or the world coordinates are missing, or no event
        is left.
    ImageMismatchError
        If the two maps are on different grids.

    Notes
    -----
    The exposure is the sum of the good time intervals, in which events have to lie, both ends
    included. They are those to which the header of the events refers (DSTYPn, DSVALn and DSREFn
    of Chandra and XMM-Newton), else those of the tables ``GTI`` (Chandra, one for each
    ``CCD_ID``), ``STDGTInn`` (XMM-Newton, for each ``CCDNR``) or ``GTIn`` (eROSITA, for each
    ``TM_NR``), or of the only one. Other intervals that a file may bring along, of flares or of
    the background, are not looked at. Events of detectors without intervals are kept, with a
    warning; TIMEZERO, MJDREF and units are heeded, and other times (TIMESYS, TIMEREF) refused.

    World coordinates are those of the columns (TCTYPn and the like, or REFXCTYP of the
    pipelines of XMM-Newton and eROSITA), found by their kind rather than their number: tools
    that drop columns leave old numbers behind.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from clustercnn.io import read_events
    >>> rng = np.random.default_rng(1)
    >>> columns = [fits.Column(name, 'E', array=rng.uniform(1, 101, 1000)) for name in 'XY']
    >>> columns.append(fits.Column('ENERGY', 'E', unit='eV', array=rng.uniform(300, 7000, 1000)))
    >>> table = fits.BinTableHDU.from_columns(columns, name='EVENTS')
    >>> for number, (kind, value, step) in enumerate((('RA---TAN', 150, -1), ('DEC--TAN', 2, 1))):
    ...     table.header[f'TCTYP{number + 1}'] = kind
    ...     table.header[f'TCRVL{number + 1}'] = value
    ...     table.header[f'TCRPX{number + 1}'] = 51
    ...     table.header[f'TCDLT{number + 1}'] = step * 4 / 3600
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.writeto(Path(folder) / 'events.fits')
    ...     image = read_events(Path(folder) / 'events.fits')
    >>> image.shape, int(image.n_counts) == image.meta['events']['taken']
    ((100, 100), True)
    """
    low, high = _check_band(energy_band)
    scale = check_angle('pixel_scale', pixel_scale, optional=True)
    maps = [name for name in (exposure, background) if name is not None]
    if scale is not None and maps:
        msg = "'pixel_scale' must be left out where a map gives the grid"
        raise ValueError(msg)
    timed = good_time_intervals and not all_events
    header, columns, number, tables, doubts = open_hdus(
        path, lambda hdus: _load(path, hdus, hdu, timed=timed)
    )
    where = f'HDU {number}'
    mission = mission_named(mission) if mission else mission_of(header)
    # what is known of a mission is that of its main instrument
    main = has_main_instrument(header)
    convention = _CONVENTIONS.get(mission, _UNKNOWN) if main else _UNKNOWN
    if mission == 'XMM' and 'PN' in str(header.get('INSTRUME', '')).upper():
        convention = _CONVENTIONS['XMM EPN']
    summary = {'in the file': len(columns['X'])}
    good = np.ones(len(columns['X']), bool)
    placed = np.isfinite(columns['X']) & np.isfinite(columns['Y'])
    _leave_out(summary, good, 'without a position', ~placed)
    energy = _energies(path, where, header, columns, convention, mission)
    in_band = (energy >= low) & (energy < high)
    _leave_out(summary, good, f'outside {low:g} to {high:g} eV', ~in_band)
    if not all_events:
        _leave_out_by_quality(summary, good, columns, convention)
    if timed:
        outside, found = outside_good_times(path, number, header, columns, tables)
        doubts += found
        if outside is not None:
            n_before = good.sum()
            _leave_out(summary, good, _OUTSIDE, outside)
            if summary[_OUTSIDE] > _MANY_OUTSIDE * n_before:
                doubts.append(
                    f'{summary[_OUTSIDE]} of {n_before} events are {_OUTSIDE}: check {_BELONG}'
                )
    if not good.any():
        reasons = ', '.join(f'{n} {reason}' for reason, n in summary.items())
        reason = f'{where}: no event is left ({reasons}); check the energy band'
        if summary.get(_OUTSIDE):
            reason = '; '.join([f'{reason}, and {_BELONG}', *doubts])
        raise ImageReadError(path, reason)
    sky = _wcs_of_columns(path, where, header)
    position = np.stack([columns['X'][good], columns['Y'][good]])
    if maps:
        plane = read_plane(maps[0])
        shape, wcs = plane.data.shape, plane.wcs
        x, y = wcs.world_to_pixel(sky.pixel_to_world(*(position - 1)))
    else:
        step = convention.pixel_scale if scale is None else float(scale.value)
        shape, wcs, x, y = _grid(path, where, sky, position, step)
    column, row = np.floor(x + 0.5), np.floor(y + 0.5)
    inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    summary['outside the grid'] = int((~inside).sum())
    flat = row[inside].astype(np.int64) * shape[1] + column[inside].astype(np.int64)
    counts = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
    summary['taken'] = len(flat)
    if not len(flat):
        reason = f'{where}: all events fall outside {maps[0]}; give the map of this observation'
        raise ImageReadError(path, reason)
    planes, exposure_unit = {}, u.s
    grid = {'image_path': path, 'shape': shape, 'wcs': wcs}
    if exposure is not None:
        planes['exposure'], exposure_unit = read_map('exposure', exposure, **grid)
    if background is not None:
        planes['background'], _ = read_map('background', background, **grid)
    notes = [f'{len(flat)} of {summary["in the file"]} events binned']
    for doubt in doubts:
        note(notes, path, f'{where}: {doubt}')
    if maps:
        unseen = summary['outside the grid']
        if exposure is not None:
            unseen += int(counts[planes['exposure'] == 0].sum())
        unseen = unseen / (len(flat) + summary['outside the grid'])
        if unseen > 0.5:
            note(notes, path, f'{unseen:.0%} of the events lie where {maps[0]} has nothing')
    if psf_fwhm is None:
        psf_fwhm = psf_fwhm_of(mission, header)
    return XrayImage(
        counts=counts.astype(np.float32),
        wcs=wcs,
        exposure_unit=exposure_unit,
        psf_fwhm=psf_fwhm,
        energy_band=(low * u.eV, high * u.eV),
        mission=mission,
        instrument=str(header.get('INSTRUME', '')).strip(),
        meta={
            'path': str(path),
            'hdu': number,
            'events': summary,
            'notes': tuple(notes),
        },
        **planes,
    )


def _check_band(band):
    try:
        low, high = u.Quantity(band).to_value(u.eV)
    except (TypeError, ValueError, u.UnitConversionError) as error:
        msg = f"'energy_band' must be two energies such as (0.5, 2) * u.keV, got {band!r}"
        raise ValueError(msg) from error
    if not 0 <= low < high:
        msg = f"'energy_band' must be a lower and a higher energy, got {band!r}"
        raise ValueError(msg)
    return float(low), float(high)


def _load(path, hdus, wanted, *, timed):
    """
    Return header and columns of the event list, its number, good time intervals, and doubts.
    """
    seen, found, rejected, others, tables, doubts = [], None, [], [], [], []
    try:
        for number, item in hdus:
            seen.append(f'HDU {number} {item.name}'.strip())
            if timed and are_good_times(item):
                tables.append(GoodTimes(path, number, item))
            if not is_wanted(wanted, number, item) or not _is_events(item):
                continue
            kind = str(item.header.get('HDUCLAS2', '')).strip().upper()
            if wanted is None and kind == 'REJECTED':
                # what the mission left out, in files of ROSAT
                rejected.append(str(number))
                continue
            if found is not None:
                others.append(f'HDU {number} {item.name}'.strip())
                continue
            header, columns = item.header.copy(), _columns_of(path, number, item, timed=timed)
            found = number
    except DAMAGES as error:
        if found is None:
            raise
        words = ' '.join(str(getattr(error, 'reason', error)).split())[:200]
        doubts.append(f'what lies behind cannot be read ({words}), and no good times in it')
    if found is None:
        reason = (
            f'has no event list (a table EVENTS with columns X and Y); there are: {"; ".join(seen)}'
        )
        if rejected:
            reason += f'; rejected events are taken if asked for, with hdu={rejected[0]}'
        raise ImageReadError(path, reason)
    if others:
        doubts.append(
            f'the first of {len(others) + 1} event lists is taken; hdu=NUMBER, or a file of its '
            f'own, gives another: {first_few(others)}'
        )
    return header, columns, found, tables, doubts


def _columns_of(path, number, item, *, timed):
    """
    Return the columns that are needed by their names in capital letters, and their units.
    """
    names = {name.upper(): name for name in item.columns.names}
    columns = {}
    for name in (*_KEPT, *(_TIMED if timed else ())):
        if name not in names:
            continue
        try:
            columns[name] = _numbers(path, number, item, names[name])
        except ImageReadError:
            if name not in _TIMED:
                raise
            # as if it were not there, which is told where it is needed
            continue
        columns[f'unit of {name}'] = item.columns[names[name]].unit
    if not len(columns['X']):
        raise ImageReadError(path, f'HDU {number}: the event list is empty; fetch it again')
    return columns


def _numbers(path, number, item, name):
    """
    Return a column as one number an event, NaN where it is missing.
    """
    values = np.asarray(item.data[name])
    if values.dtype.kind == 'b' and values.ndim == 2 and values.shape[1] <= 32:
        # a field of bits, the highest of which comes first (FITS standard 4.0, section 7.3.3)
        n_bits = values.shape[1]
        return values.astype(np.int64) @ (1 << np.arange(n_bits, dtype=np.int64)[::-1])
    if values.ndim != 1 or values.dtype.kind not in 'iuf':
        reason = f'HDU {number}: column {name} does not hold one number an event; expected that'
        raise ImageReadError(path, reason)
    missing = item.columns[name].null
    if missing is not None and values.dtype.kind in 'iu':
        return np.where(values == int(missing), np.nan, values)
    return values


def _leave_out(summary, good, reason, bad):
    """
    Take events out of the good ones and remember how many and why.
    """
    summary[reason] = int((bad & good).sum())
    good &= ~bad


def _leave_out_by_quality(summary, good, columns, convention):
    if convention.bad_flags and 'FLAG' in columns:
        flag = np.nan_to_num(columns['FLAG']).astype(np.int64) & 0xFFFFFFFF
        _leave_out(summary, good, 'flagged', (flag & convention.bad_flags) != 0)
    for name in ('PATTERN', 'PAT_TYP', 'GRADE'):
        if convention.patterns and name in columns:
            bad = ~np.isin(columns[name], convention.patterns)
            _leave_out(summary, good, f'of another {name.lower()}', bad)
            break


def _energies(path, where, header, columns, convention, mission):
    """
    Return the energy of each event in eV.
    """
    instrument = str(header.get('INSTRUME', '')).strip()
    if instrument.upper().startswith(_WITHOUT_ENERGIES):
        reason = f'{where}: {instrument} measures no energies; give an image of all its events'
        raise ImageReadError(path, reason)
    for name in convention.energy:
        if name not in columns:
            continue
        unit = str(columns[f'unit of {name}'] or '').strip()
        if unit.lower() in ('ev', 'kev'):
            return columns[name].astype(np.float64) * (1e3 if unit.lower() == 'kev' else 1.0)
        if convention.electronvolt is not None:
            return columns[name].astype(np.float64) * convention.electronvolt
        if unit:
            reason = f'{where}: column {name} is in {unit!r}; expected eV or keV'
        else:
            of = mission if mission in _CONVENTIONS else 'an unknown mission'
            of = ' '.join(f'{of} {instrument}'.split())
            reason = f'{where}: column {name} has no unit, and that of {of} is not known'
            reason += '; set TUNIT to eV or keV'
            reason += '' if mission in _CONVENTIONS else ', or name the mission'
        raise ImageReadError(path, reason)
    reason = f'{where}: has no column {" or ".join(convention.energy)}; expected energies'
    raise ImageReadError(path, reason)


def _wcs_of_columns(path, where, header):
    """
    Return the world coordinates of the columns X and Y.
    """
    numbers = {'RA-': [], 'DEC': []}
    for key in header:
        # other cards are not looked at: those of a long history take seconds
        if key.startswith('TCTYP') and str(header[key])[:3] in numbers:
            numbers[str(header[key])[:3]].append(key[5:])
    pairs = [('REF{}C{}', 'X', 'Y')]
    pairs += [('TC{1}{0}', *pair) for pair in zip(*numbers.values(), strict=False)]
    for pattern, *axes in pairs:
        keys = {
            name: [pattern.format(axis, name) for axis in axes]
            for name in ('TYP', 'RVL', 'RPX', 'DLT')
        }
        if not all(key in header for pair in keys.values() for key in pair):
            continue
        if not str(header[keys['TYP'][0]]).startswith('RA-'):
            continue
        try:
            return _wcs_of(header, keys)
        except Exception as error:
            words = ' '.join(str(error).split())[:200]
            reason = (
                f'{where}: the world coordinates of X and Y cannot be used ({words}); correct '
                f'{", ".join(keys["TYP"])} and the like'
            )
            raise ImageReadError(path, reason) from error
    reason = (
        f'{where}: the columns X and Y have no world coordinates (TCTYPn = RA---TAN and the like, '
        f'or REFXCTYP); use the file they were lost from'
    )
    raise ImageReadError(path, reason)


def _wcs_of(header, keys):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [str(header[key]) for key in keys['TYP']]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = (
        [float(header[key]) for key in keys[name]] for name in ('RVL', 'RPX', 'DLT')
    )
    frame = header.get('RADESYS', header.get('RADECSYS'))
    if frame is not None:
        wcs.wcs.radesys = str(frame).strip()
    if isinstance(header.get('EQUINOX'), (int, float)):
        wcs.wcs.equinox = float(header['EQUINOX'])
    if not np.all(wcs.wcs.cdelt != 0):
        msg = 'a step of zero'
        raise ValueError(msg)
    turned = _turned_by(header, keys)
    if turned:
        msg = f'{turned} turns or shears them; make the list again with columns along the axes'
        raise ValueError(msg)
    wcs.wcs.set()
    return wcs


def _turned_by(header, keys):
    """
    Return the keyword that turns the coordinates of two columns, if any does.
    """
    axes = [key.removeprefix('TCTYP') for key in keys['TYP'] if key.startswith('TCTYP')]
    if len(axes) != 2:
        return None
    # FITS standard 4.0, table 22; the diagonal of a PC matrix is 1
    identity = {f'TCROT{axis}': 0 for axis in axes}
    for one in axes:
        for other in axes:
            for kind in ('TP', 'TPC'):
                identity[f'{kind}{one}_{other}'] = float(one == other)
            if one != other:
                identity |= {f'{kind}{one}_{other}': 0 for kind in ('TC', 'TCD')}
    for key, value in identity.items():
        if key in header and abs(float(header[key]) - value) > 1e-6:
            return f'{key} = {header[key]}'
    return None


def _grid(path, where, sky, position, step):
    """
    Return a grid that holds all events, and their pixels on it.
    """
    factor = step / 3600 / np.abs(sky.wcs.cdelt)
    low, high = position.min(axis=1), position.max(axis=1)
    # edges of pixels at whole multiples of the new pixel from the reference, so that two
    # files of one pointing share a grid
    first = np.floor((low - sky.wcs.crpix) / factor)
    size = (np.floor((high - sky.wcs.crpix) / factor) - first + 1).astype(int)
    if size.max() > _LARGEST_SIDE or np.prod(size.astype(float)) > _LARGEST_PIXELS:
        reason = (
            f'{where}: {size[0]} x {size[1]} pixels of {step:g} arcsec; expected at most '
            f'{_LARGEST_PIXELS:.0e}, ask for larger pixels'
        )
        raise ImageReadError(path, reason)
    wcs = sky.deepcopy()
    wcs.wcs.cdelt = np.sign(sky.wcs.cdelt) * step / 3600
    wcs.wcs.crpix = 0.5 - first
    x, y = (position - sky.wcs.crpix[:, None]) / factor[:, None] - first[:, None] - 0.5
    return (int(size[1]), int(size[0])), wcs, x, y
