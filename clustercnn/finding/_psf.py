# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The point spread functions the finders assume: King profiles whose wings and growth off
axis are those published for the mission, and whose width is that of the image.
"""

import dataclasses

import numpy as np

from clustercnn.io.missions import mission_named

__all__ = ['PointSpread', 'point_spread_of']


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointSpread:
    """
    A King profile, ``(1 + (r / r0)**2)**-slope``, that grows off axis.

    Parameters
    ----------
    fwhm : float
        On axis, in pixels.
    slope : float
        1.5 for XMM-Newton EPIC (Ghizzardi 2001, XMM-SOC-CAL-TN-0022).
    stretch, flattening : float
        At an angle ``t`` the tangential width is ``1 + stretch * (t / reference)**2`` times
        that on axis, the radial one that times ``1 - flattening * t / reference``.
    reference : float
        In pixels.
    """

    fwhm: float
    slope: float = 1.5
    stretch: float = 0.0
    flattening: float = 0.0
    reference: float = 1.0

    @property
    def core_radius(self):
        """
        Core radius of the King profile on axis in pixels (float).
        """
        return 0.5 * self.fwhm / np.sqrt(2 ** (1 / self.slope) - 1)

    def growth(self, distance):
        """
        Return the width relative to that on axis.

        Parameters
        ----------
        distance : float
            From the axis, in pixels.

        Returns
        -------
        factor : float
            Geometric mean of both axes.
        """
        radial, tangential = self.axes(distance)
        return float(np.sqrt(radial * tangential))

    def axes(self, distance):
        """
        Return the radial and the tangential width relative to that on axis.

        Parameters
        ----------
        distance : float
            From the axis, in pixels.

        Returns
        -------
        radial, tangential : float
            Factors.
        """
        relative = distance / self.reference
        tangential = 1 + self.stretch * relative**2
        return float(tangential * np.clip(1 - self.flattening * relative, 0.3, 1)), tangential


# slope, stretch, flattening, reference angle in arcmin. XMM-Newton: Ghizzardi 2001 and the
# encircled-energy ellipses of the calibration at 1.5 keV; Chandra: Proposers' Observatory Guide,
# chapter 4; ROSAT: Hasinger et al. 1994, CAL/ROS/93-015; eROSITA: Predehl+2021, A&A 647, A1;
# Einstein Probe: as single eROSITA modules
_MISSIONS = {
    'XMM': (1.5, 0.62, 0.64, 15.0),
    'eROSITA': (1.6, 1.6, 0.35, 30.0),
    'Chandra': (2.0, 11.0, 0.35, 10.0),
    'ROSAT': (3.0, 16.0, 0.2, 60.0),
    'Einstein Probe': (1.6, 1.6, 0.35, 30.0),
}
# a survey's exposures cross the field of view: the growth is averaged into the width
_SCANNING = frozenset({'eROSITA'})
# what reaches so many reference angles, which are about the radius of the field, from its middle
# is a mosaic
_WIDEST_FIELD = 3.0


def point_spread_of(mission, fwhm, pixel_scale, *, pointed=True, reach=0.0):
    """
    Return the point spread function of a mission.

    Parameters
    ----------
    mission : str
        As in the image; unknown ones get the slope of XMM-Newton and no growth.
    fwhm, pixel_scale : float
        On axis, in arcsec.
    pointed : bool, optional
        Whether the image shows the vignetting of one pointing.
    reach : float, optional
        How far from the axis the image is exposed, in pixels. In a mosaic, as in a scan of a
        mission that also does those, the PSF does not grow: where it would is not known.

    Returns
    -------
    psf : PointSpread
        In pixels.
    """
    mission = mission_named(mission)
    slope, stretch, flattening, reference = _MISSIONS.get(mission, (1.5, 0.0, 0.0, 1.0))
    mosaic = reach * pixel_scale > _WIDEST_FIELD * reference * 60
    if not pointed and (mosaic or mission in _SCANNING):
        stretch = flattening = 0.0
    return PointSpread(
        fwhm=fwhm / pixel_scale,
        slope=slope,
        stretch=stretch,
        flattening=flattening,
        reference=reference * 60 / pixel_scale,
    )
