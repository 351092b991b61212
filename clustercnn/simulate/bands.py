# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The bands of optical CCD surveys: how deep and how sharp each sees.
"""

import dataclasses
from collections.abc import Sequence
from numbers import Real

import astropy.units as u

from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.validation import check_angle, check_one_of
from clustercnn.simulate._colours import BANDS

__all__ = ['OPTICAL_SURVEYS', 'OpticalBand']

_RANGES = {'depth': (10.0, 32.0), 'sky_brightness': (14.0, 26.0), 'offset': (0.0, 60.0)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpticalBand:
    """
    One band of an optical CCD survey.

    Parameters
    ----------
    name : {'g', 'r', 'i', 'z'}
        Band of the SDSS system; differences between the filters of surveys are left out.
    depth : float
        AB magnitude of a point source with a signal to noise of 5.
    seeing : `~astropy.units.Quantity`
        Full width at half maximum of a star.
    sky_brightness : float
        AB magnitude of a square arcsec of sky: from it follow the noise in bright objects and
        where they saturate.
    offset : float
        Astrometric error of the band against the others in arcsec, one sigma per axis.

    Raises
    ------
    ValueError
        If a value is out of range.

    See Also
    --------
    OPTICAL_SURVEYS : The bands of some surveys.

    Examples
    --------
    >>> import astropy.units as u
    >>> from clustercnn.simulate import OpticalBand
    >>> band = OpticalBand(name='r', depth=24.0, seeing=1.1 * u.arcsec, sky_brightness=21.0)
    >>> band == OpticalBand(**band.to_dict())
    True
    """

    name: str
    depth: float
    seeing: u.Quantity
    sky_brightness: float
    offset: float = 0.05

    def __post_init__(self):
        check_one_of('name', self.name, BANDS)
        seeing = self.seeing
        # a plain number is in arcsec, as `to_dict` writes it
        if isinstance(seeing, (int, float)):
            seeing = seeing * u.arcsec
        object.__setattr__(self, 'seeing', check_angle('seeing', seeing))
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            plain = isinstance(value, Real) and not isinstance(value, bool)
            if not (plain and low <= value <= high):
                msg = f"'{name}' of band {self.name} must be {low:g} to {high:g}, got {value!r}"
                raise ValueError(msg)

    def to_dict(self):
        """
        Return the band as plain values that JSON can hold.

        Returns
        -------
        settings : dict
            Values by name, angles in arcsec.
        """
        return {**dataclasses.asdict(self), 'seeing': float(self.seeing.to_value(u.arcsec))}


def _survey(offset, **bands):
    return tuple(
        OpticalBand(
            name=name,
            depth=depth,
            seeing=seeing * u.arcsec,
            sky_brightness=sky,
            offset=offset,
        )
        for name, (depth, seeing, sky) in bands.items()
    )


OPTICAL_SURVEYS = ReadOnlyDict(
    # depths and widths: what the SDSS states of its imaging (DR8 and later); sky in r: 20.86, the
    # median of its fields (DR7 and DR9, 'Seeing and sky brightness'), in the others assumed, the
    # usual colour of a dark sky; offsets: Pier et al. 2003, AJ 125, 1559
    sdss=_survey(
        0.03,
        g=(23.1, 1.44, 21.8),
        r=(22.7, 1.32, 20.9),
        i=(22.2, 1.26, 20.2),
        z=(20.7, 1.29, 18.9),
    ),
    # depths: where most of the area with three passes or more lies in DR9 (legacysurvey.org/dr9/
    # description, 'Depths'); widths: Dey et al. 2019, AJ 157, 168; sky: nominal, as the observers'
    # code has it (legacysurvey/obsbot); offset: assumed. The survey has no i band
    decals=_survey(0.02, g=(24.8, 1.29, 22.0), r=(24.2, 1.18, 20.9), z=(23.3, 1.11, 18.5)),
    # Ivezic et al. 2019, ApJ 873, 111, table 1 (depths of ten years) and the parameters of its
    # equation for the depth (effective seeing and sky at the zenith); offset: assumed
    lsst=_survey(
        0.01,
        g=(27.4, 0.87, 22.3),
        r=(27.5, 0.83, 21.2),
        i=(26.8, 0.80, 20.5),
        z=(26.1, 0.78, 19.6),
    ),
)
"""
Bands by survey: ``'sdss'``, ``'decals'`` (Dark Energy Camera Legacy Survey; no i) and ``'lsst'``
(ten years).
"""


def check_bands(value):
    """
    Return the bands that a setting names.

    Parameters
    ----------
    value : str or sequence of OpticalBand or dict
        Name of a survey, bands, or what `OpticalBand.to_dict` returned.

    Returns
    -------
    bands : tuple of OpticalBand
        At least one, with different names.

    Raises
    ------
    ValueError
        If the survey is not known, there is no band, or one occurs twice.
    """
    if isinstance(value, str):
        check_one_of('optical_bands', value, tuple(OPTICAL_SURVEYS))
        return OPTICAL_SURVEYS[value]
    listed = value if isinstance(value, Sequence) else ()
    bands = tuple(OpticalBand(**band) if isinstance(band, dict) else band for band in listed)
    known = all(isinstance(band, OpticalBand) for band in bands)
    if not bands or not known or len({band.name for band in bands}) < len(bands):
        msg = (
            f"'optical_bands' must be the name of a survey ({', '.join(OPTICAL_SURVEYS)}) or bands "
            f'(OpticalBand) with different names out of {", ".join(BANDS)}, got {value!r}'
        )
        raise ValueError(msg)
    return bands
