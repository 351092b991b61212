# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What headers and names of files say: mission, and what an image is of.
"""

import re
from pathlib import Path

import astropy.units as u
import numpy as np

__all__ = [
    'PSF_FWHM',
    'dispersion',
    'has_main_instrument',
    'mission_named',
    'mission_of',
    'psf_fwhm_of',
    'role_of',
    'unit_named',
    'unit_of',
]

PSF_FWHM = {'XMM': 7.7, 'eROSITA': 15.5, 'Chandra': 0.7, 'ROSAT': 22.4, 'Einstein Probe': 11.8}
"""
Widths on axis in arcsec that stand for a mission where nothing better is known, those of the
King profiles that the finders use: XMM-Newton EPIC (core radius 5 arcsec, slope 1.5), eROSITA
averaged over a survey (half-energy width of about 30 arcsec, Predehl et al. 2021), Chandra
(half-energy radius of 0.5 arcsec), ROSAT PSPC (Hasinger et al. 1994, CAL/ROS/93-015: 23 arcsec at
1 keV), Einstein Probe FXT (half-energy width of 22 to 24 arcsec). Off axis the finders let them
grow.
"""

# on axis (Predehl et al. 2021, A&A 647, A1: half-energy width of 16 to 18 arcsec)
_EROSITA_POINTED_FWHM = 9.3

_MISSION_WORDS = {
    'XMM': 'XMM',
    'EROSITA': 'eROSITA',
    'SRG': 'eROSITA',
    'CHANDRA': 'Chandra',
    'ROSAT': 'ROSAT',
    'EP': 'Einstein Probe',
    'EINSTEIN PROBE': 'Einstein Probe',
}
# on board of missions whose width above is that of another instrument
_OTHER_INSTRUMENTS = ('HRI', 'WXT', 'ART XC')
# DSTYPE and CONTENT as eSASS and SAS write them (eROSITA DR1 "header keywords"; XMM DFHB)
_ROLE_WORDS = (
    ('exposure map', ('EXPOSURE MAP', 'EXPOSUREMAP', 'EXPMAP')),
    ('background map', ('BACKGROUND MAP', 'BACKGRIMAGE', 'BKGMAP', 'BKG MAP')),
    ('detection mask', ('DETECTION MASK', 'DETMASK', 'DETMSK')),
)


# what units are called beside their names in the standard
_UNIT_WORDS = {
    **dict.fromkeys(('counts', 'count', 'Counts', 'Count', 'cts'), 'ct'),
    **dict.fromkeys(('photons', 'photon'), 'ph'),
    **dict.fromkeys(('seconds', 'second', 'sec'), 's'),
    **dict.fromkeys(('ksec',), 'ks'),
    **dict.fromkeys(('minutes', 'minute'), 'min'),
    **dict.fromkeys(('hours', 'hour'), 'h'),
    **dict.fromkeys(('days',), 'd'),
    **dict.fromkeys(('electrons',), 'electron'),
    **dict.fromkeys(('image pixels', 'image pixel', 'pixels', 'pixel'), 'pix'),
    **dict.fromkeys(('degrees', 'degree'), 'deg'),
    **dict.fromkeys(('arcminutes', 'arcminute', 'arcmins'), 'arcmin'),
    **dict.fromkeys(('arcseconds', 'arcsecond', 'arcsecs'), 'arcsec'),
    **dict.fromkeys(('radians',), 'rad'),
}
_UNIT_WORD = re.compile(rf'\b({"|".join(_UNIT_WORDS)})\b')


def _spaced(text):
    return f' {" ".join(re.split(r"[^A-Z0-9]+", str(text).upper()))} '


def mission_named(name):
    """
    Return the name that the package has for a mission.

    Parameters
    ----------
    name : str
        In capital or small letters, such as 'XMM-Newton'.

    Returns
    -------
    mission : str
        What was given where it is no mission that is known.

    Examples
    --------
    >>> from clustercnn.io.missions import mission_named
    >>> mission_named('xmm-newton'), mission_named('ep'), mission_named('Suzaku')
    ('XMM', 'Einstein Probe', 'Suzaku')
    """
    spaced = _spaced(name)
    for word, mission in _MISSION_WORDS.items():
        if f' {word} ' in spaced:
            return mission
    return name


def has_main_instrument(header):
    """
    Say whether an image is of the instrument that is meant where a mission is named.

    Parameters
    ----------
    header : `~astropy.io.fits.Header` or dict
        ``INSTRUME`` tells.

    Returns
    -------
    main : bool
        False for ROSAT's HRI, Einstein Probe's WXT, and ART-XC beside eROSITA.

    Examples
    --------
    >>> from clustercnn.io.missions import has_main_instrument
    >>> has_main_instrument({'INSTRUME': 'ART-XC'}), has_main_instrument({})
    (False, True)
    """
    instrument = _spaced(header.get('INSTRUME', ''))
    return not any(f' {word} ' in instrument for word in _OTHER_INSTRUMENTS)


def mission_of(header):
    """
    Return the mission that made an image.

    Parameters
    ----------
    header : `~astropy.io.fits.Header` or dict
        Its header.

    Returns
    -------
    mission : str
        ``'generic'`` where the header does not tell.

    Examples
    --------
    >>> from clustercnn.io.missions import mission_of
    >>> mission_of({'TELESCOP': 'XMM'}), mission_of({})
    ('XMM', 'generic')
    """
    words = ' '.join(str(header.get(key, '')) for key in ('TELESCOP', 'MISSION', 'INSTRUME'))
    mission = mission_named(words)
    if mission != words:
        return mission
    # eROSITA products of several pipelines come without TELESCOP
    if str(header.get('CREATOR', '')).lower().startswith(('evtool', 'expmap', 'ermldet')):
        return 'eROSITA'
    return 'generic'


def unit_of(header):
    """
    Return the unit of an image.

    Parameters
    ----------
    header : `~astropy.io.fits.Header` or dict
        Its header.

    Returns
    -------
    unit : `~astropy.units.Unit` or None
        None where ``BUNIT`` is absent or means nothing, such as 'Primary Array'.

    Examples
    --------
    >>> from clustercnn.io.missions import unit_of
    >>> unit_of({'BUNIT': '/cm**2 /s'}), unit_of({'BUNIT': 'Primary Array'})
    (Unit("1 / (s cm2)"), None)
    """
    return unit_named(header.get('BUNIT', ''))


def unit_named(text):
    """
    Return the unit that a text means.

    Parameters
    ----------
    text : str
        As files write it: in words, too, and in capital letters.

    Returns
    -------
    unit : `~astropy.units.Unit` or None
        None where the text is empty or means nothing.

    Examples
    --------
    >>> from clustercnn.io.missions import unit_named
    >>> unit_named('counts/sec'), unit_named('ARCMIN'), unit_named('S')
    (Unit("ct / s"), Unit("arcmin"), Unit("S"))
    """
    # 'S' alone is a siemens, in 'COUNTS/S' it is not
    text = re.sub(r'(?<=/)\s*S\b', 's', str(text).strip())
    for spelling in (text, text.lower()):
        words = _UNIT_WORD.sub(lambda found: _UNIT_WORDS[found.group()], spelling)
        over, *under = (part.strip() for part in words.split('/'))
        if under:
            # CIAO writes '/cm**2 /s' where the standard has 'cm**(-2) s**(-1)'
            words = f'{over or 1} / ({" ".join(under)})'
        try:
            return u.Unit(words) if words else None
        except (ValueError, TypeError):
            continue
    return None


def psf_fwhm_of(mission, header):
    """
    Return the width of the PSF that stands for a mission where nothing better is known.

    Parameters
    ----------
    mission : str
        By any of its names, see `mission_named`.
    header : `~astropy.io.fits.Header` or dict
        ``OBS_MODE`` tells a pointing of eROSITA from its surveys, ``INSTRUME`` the instruments of
        a mission that are not the one whose width is known.

    Returns
    -------
    width : `~astropy.units.Quantity` or None
        On axis, None for a mission that is not known, and for ROSAT's HRI, Einstein Probe's
        WXT and ART-XC beside eROSITA.
    """
    mission = mission_named(mission)
    if not has_main_instrument(header):
        return None
    pointed = str(header.get('OBS_MODE', '')).strip().upper().startswith('POINT')
    if mission == 'eROSITA' and pointed:
        return _EROSITA_POINTED_FWHM * u.arcsec
    return PSF_FWHM[mission] * u.arcsec if mission in PSF_FWHM else None


def role_of(header, path=''):
    """
    Return what an image is of, as far as its header and the name of its file tell.

    Parameters
    ----------
    header : `~astropy.io.fits.Header` or dict
        Its header.
    path : str or path-like, optional
        The file, whose name is looked at where the header is silent.

    Returns
    -------
    role : str or None
        ``'exposure map'``, ``'background map'``, ``'detection mask'`` or None.

    Examples
    --------
    >>> from clustercnn.io.missions import role_of
    >>> role_of({'CONTENT': 'EPIC EXPOSURE MAP'}), role_of({}, 'field_expmap.fits')
    ('exposure map', 'exposure map')
    """
    header_words = f'{header.get("DSTYPE", "")} {header.get("CONTENT", "")}'.upper()
    if str(header.get('HDUCLAS2', '')).upper() == 'MASK':
        return 'detection mask'
    for role, words in _ROLE_WORDS:
        if any(word in header_words for word in words):
            return role
    if 'IMAGE' in header_words:
        return None
    name = Path(path).name.upper() if path else ''
    for role, words in _ROLE_WORDS:
        if any(word.replace(' ', '') in name for word in words):
            return role
    for role, start in (('exposure map', 'EXPOSURE'), ('background map', 'BACKGROUND')):
        if name.startswith(start):
            return role
    return None


def dispersion(data):
    """
    Return how much neighbours differ against what photons would do.

    Parameters
    ----------
    data : 2D `~numpy.ndarray`
        An image.

    Returns
    -------
    index : float
        Median of ``(a - b)**2 / (a + b)`` over neighbours in a row that have more than 20
        together: about 0.45, the median of chi-square of one degree of freedom, for counts
        of photons, far less for smooth maps; NaN where there are no such neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.io.missions import dispersion
    >>> counts = np.random.default_rng(1).poisson(50.0, (64, 64))
    >>> round(dispersion(counts), 1), dispersion(np.full((8, 8), 3000.0))
    (0.4, 0.0)
    """
    left, right = np.asarray(data[:, :-1], float), np.asarray(data[:, 1:], float)
    total = left + right
    use = np.isfinite(total) & (left >= 0) & (right >= 0) & (total > 20)
    if not use.any():
        return np.nan
    return float(np.median((left[use] - right[use]) ** 2 / total[use]))
