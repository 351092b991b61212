# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What is known of the instrument that took an X-ray image: its mission, rate and point spread.
"""

import math
import re

import astropy.units as u
import numpy as np

from clustercnn.io.missions import mission_named, psf_fwhm_of
from clustercnn.simulate.missions import MISSIONS, Mission, PointSpread, get_mission

__all__ = ['mission_of_image', 'point_spread_of', 'rate_of', 'why_no_rate']

# the King profile of an image of which only the width is known
_PLAIN_KING = {'slope': 1.5, 'max_radius': 300.0}
# telescope modules of eROSITA that files sum up under one number
_MODULES = {'0': '1234567', '8': '12346', '9': '57'}
# behind the mirrors of its mission, but another detector than the one whose rate is known
_OTHER_RATES = ('HRC',)


def mission_of_image(image, mission=None):
    """
    Return what the simulator knows of the mission that took an image.

    Parameters
    ----------
    image : `~clustercnn.core.XrayImage`
        Says mission and instrument.
    mission : str or `Mission`, optional
        Taken instead of the mission of the image.

    Returns
    -------
    mission : `Mission` or None
        None where it is not known, and for an instrument whose figures are not those of the
        mission, such as the HRI of ROSAT, unless a table of the user's own says them.
    """
    if isinstance(mission, Mission):
        return mission
    if mission is not None:
        known = get_mission(mission)
    else:
        known = MISSIONS.get(image.mission.lower())
        named = mission_named(image.mission)
        for one in MISSIONS.values():
            # the first one: that of eROSITA is its survey
            known = known or (one if mission_named(one.telescope) == named else None)
    return known if known is not None and _has_figures(known.telescope, image) else None


def _has_figures(mission, image):
    return psf_fwhm_of(mission, {'INSTRUME': image.instrument}) is not None


def _is_of_another_instrument(image):
    # of a mission whose width is known, only the instrument can take it away
    return not _has_figures('XMM', image)


def _name(image):
    return f'{image.mission} {image.instrument}'.strip()


def point_spread_of(image, mission, psf):
    """
    Return the point spread of an image.

    Parameters
    ----------
    image : `~clustercnn.core.XrayImage`
        May state a width.
    mission : `Mission` or None
        As from `mission_of_image`; its profile is scaled to the width.
    psf : `PointSpread`, `~astropy.units.Quantity` or None
        What the user says of it.

    Returns
    -------
    psf : `PointSpread`
        The profile.

    Raises
    ------
    ValueError
        If nothing says how wide it is.
    """
    if isinstance(psf, PointSpread):
        return psf
    width = image.psf_fwhm if psf is None else psf
    if width is not None:
        width = u.Quantity(width, u.arcsec).value
        if not (np.isscalar(width) or width.ndim == 0) or not (math.isfinite(width) and width > 0):
            msg = f"'psf' must be a PointSpread or one angle above 0, got {psf!r}"
            raise ValueError(msg)
    if mission is not None:
        return mission.psf if width is None else mission.psf.scaled(width / mission.psf.fwhm)
    if width is None:
        wanted = "'psf', a PointSpread or its full width at half maximum"
        msg = 'the image does not state the width of its point spread'
        if _is_of_another_instrument(image):
            msg += f', and for {_name(image)} none is known; give {wanted}'
        else:
            msg += f'; give {wanted}, or the mission'
        raise ValueError(msg)
    plain = PointSpread(core_radius=1.0, **_PLAIN_KING)
    return plain.scaled(width / plain.fwhm)


def rate_of(image, mission, config):
    """
    Return the counts that a flux gives at the largest exposure of an image.

    Parameters
    ----------
    image : `~clustercnn.core.XrayImage`
        Says instrument and exposure.
    mission : `Mission` or None
        As from `mission_of_image`.
    config : `~clustercnn.simulate.SimulationConfig`
        Its ``rate_factor``.

    Returns
    -------
    rate : float or None
        For 1 erg/s/cm2; None where it is not known, see `why_no_rate`.
    """
    if mission is None or image.exposure is None or image.exposure_unit != u.s:
        return None
    if _lacks_a_rate(image):
        return None
    name = image.instrument.lower().replace('epn', 'pn').replace('emos', 'mos')
    named = [camera for camera in mission.cameras if camera.name in name.split('+')]
    rate = sum(camera.rate for camera in named or mission.cameras)
    share = _share_of_modules(image) if mission.telescope == 'eROSITA' else 1.0
    return rate * share * config.rate_factor * float(image.exposure.max())


def _lacks_a_rate(image):
    return any(word in image.instrument.upper() for word in _OTHER_RATES)


def _share_of_modules(image):
    """
    Return the share of the seven telescope modules of eROSITA that an image is of.
    """
    modules = {
        module
        for number in re.findall(r'TM\s?(\d)', image.instrument.upper())
        for module in _MODULES.get(number, number)
    }
    return len(modules) / 7 if modules else 1.0


def why_no_rate(image, mission):
    """
    Return the message for fluxes where `rate_of` knows no rate.

    Parameters
    ----------
    image : `~clustercnn.core.XrayImage`
        The image.
    mission : `Mission` or None
        As from `mission_of_image`.

    Returns
    -------
    message : str
        What is not known, and what to give instead.
    """
    if _is_of_another_instrument(image) or (mission is not None and _lacks_a_rate(image)):
        reason = f'the rate of {_name(image)} is not known'
    elif mission is None:
        reason = f'the mission, {image.mission!r}, is not one whose rate is known'
    else:
        reason = 'the image has no exposure map in s'
    return (
        f'fluxes cannot be turned into counts: {reason}; '
        "give 'counts_per_flux', counts for 1 erg/s/cm2 where the exposure is largest"
    )
