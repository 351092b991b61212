# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the simulator knows of each X-ray mission: small tables of published
figures, of figures measured in real images, and, where none is known, of assumed
ones; ``source`` says which. All rates are for the 0.5-2 keV band, on axis, for a
power law of photon index 1.7-2 behind a typical Galactic column; they carry
uncertainties of 10-20 % that the randomised rate and background factors cover
several times.
"""

import dataclasses
import math

from clustercnn._utils.validation import check_one_of

__all__ = ['MISSIONS', 'Camera', 'Mission', 'PointSpread', 'get_mission']


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointSpread:
    """
    A King profile that stretches and flattens away from the optical axis.

    The surface brightness falls as ``(1 + (r / core_radius)**2) ** -slope``
    up to ``max_radius``. At an angle ``t`` from the axis the tangential width
    is ``1 + stretch * (t / reference)**2`` times the one on axis, the radial
    width that times ``1 - flattening * t / reference``.

    Parameters
    ----------
    core_radius : float
        In arcsec.
    slope : float
        Above 1.
    max_radius : float
        Where the profile ends, in arcsec.
    stretch, flattening : float
        Changes at the angle ``reference``.
    reference : float
        In arcmin.

    Examples
    --------
    >>> from clustercnn.simulate import get_mission
    >>> psf = get_mission('xmm').psf
    >>> round(psf.fwhm, 1), round(psf.half_energy_width, 1)
    (7.7, 16.9)
    """

    core_radius: float
    slope: float
    max_radius: float
    stretch: float = 0.0
    flattening: float = 0.0
    reference: float = 15.0

    @property
    def norm(self):
        """
        Fraction of the untruncated profile inside ``max_radius`` (float).
        """
        scaled = self.max_radius / self.core_radius
        return 1 - (1 + scaled * scaled) ** (1 - self.slope)

    def enclosed_fraction(self, radius):
        """
        Return the on-axis encircled energy.

        Parameters
        ----------
        radius : float
            In arcsec.

        Returns
        -------
        fraction : float
            Between 0 and 1.
        """
        scaled = min(radius, self.max_radius) / self.core_radius
        return (1 - (1 + scaled * scaled) ** (1 - self.slope)) / self.norm

    @property
    def fwhm(self):
        """
        Full width at half maximum on axis in arcsec (float).
        """
        return 2 * self.core_radius * math.sqrt(2 ** (1 / self.slope) - 1)

    @property
    def half_energy_width(self):
        """
        Diameter that holds half of the photons on axis, in arcsec (float).
        """
        power = (1 - self.norm / 2) ** (1 / (1 - self.slope))
        return 2 * self.core_radius * math.sqrt(power - 1)

    def scaled(self, factor):
        """
        Return the profile with all widths multiplied.

        Parameters
        ----------
        factor : float
            Above 0.

        Returns
        -------
        psf : `PointSpread`
            The wider or narrower profile.
        """
        return dataclasses.replace(self, core_radius=self.core_radius * factor)

    def sloped(self, factor):
        """
        Return the profile with lighter or heavier wings and the same full width.

        Parameters
        ----------
        factor : float
            Multiplies the slope, which must stay above 1.

        Returns
        -------
        psf : `PointSpread`
            The other profile.
        """
        other = dataclasses.replace(self, slope=self.slope * factor)
        return other.scaled(self.fwhm / other.fwhm)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Camera:
    """
    One detector behind one telescope.

    Parameters
    ----------
    name : str
        Name within the mission.
    layout : str
        Which chip layout it has.
    rate : float
        Counts per second for 1 erg/s/cm2 in 0.5-2 keV on axis.
    background_sky, background_particle : float
        Vignetted and unvignetted quiescent background in ct/s/arcsec2.
    vignetting : float
        Angle in arcmin where half of the effective area is left; the
        vignetting is ``1 / (1 + (t / vignetting)**2)``. 0 for none.
    out_of_time : float
        Fraction of the events registered while the frame is read out.
    frame_time : float
        In s, of the mode in which all of the field is read; 0 for a detector without frames.
    detector_pixel : float
        In arcsec.
    n_telescopes : int
        Telescopes with such a camera, whose images are summed and whose rate is ``rate``.
    star_limits : tuple of tuple
        Filter, and magnitude of the star that leaves one electron (3.65 eV) in its brightest
        pixel in a frame: where optical loading begins. Empty where none is known or matters.

    Examples
    --------
    >>> from clustercnn.simulate import get_mission
    >>> get_mission('xmm').cameras[0].out_of_time
    0.063
    """

    name: str
    layout: str
    rate: float
    background_sky: float
    background_particle: float
    vignetting: float = 0.0
    out_of_time: float = 0.0
    frame_time: float = 0.0
    detector_pixel: float = 0.0
    n_telescopes: int = 1
    star_limits: tuple = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mission:
    """
    A telescope, its cameras and the observations it usually makes.

    Parameters
    ----------
    name : str
        The name used in this package.
    telescope : str
        The TELESCOP keyword of its files.
    cameras : tuple of `Camera`
        Summed into one image unless the configuration asks for some of them.
    psf : `PointSpread`
        The mean of the cameras.
    field : float
        Side of the image in arcmin.
    pixel_scale : float
        Usual pixel in arcsec.
    pixel_scale_range : tuple of float
        Range for randomised fields in arcsec.
    exposure : float
        Usual exposure in s.
    exposure_range : tuple of float
        Range for randomised fields in s.
    source : str
        Where the figures come from.

    Examples
    --------
    >>> from clustercnn.simulate import get_mission
    >>> mission = get_mission('xmm')
    >>> [camera.name for camera in mission.cameras]
    ['pn', 'mos1', 'mos2']
    """

    name: str
    telescope: str
    cameras: tuple
    psf: PointSpread
    field: float
    pixel_scale: float
    pixel_scale_range: tuple
    exposure: float
    exposure_range: tuple
    source: str


# XMM-Newton Users Handbook, section 3.3.6: the thick filter does for point sources down to V of 1-4
# (MOS) and -2 to 1 (pn); medium lets 10**3 and thin 10**5 times as much light through. That the
# bright ends are those of stars of usual colours is assumed.
_MOS_STARS = (('thin', 13.5), ('medium', 8.5), ('thick', 1.0))
_PN_STARS = (('thin', 10.5), ('medium', 5.5), ('thick', -2.0))
# Merloni et al. 2024, A&A 682, A34: detections near stars brighter than 4.5 are suspect. That is
# where false events of 0.5 keV begin, 137 electrons, 5.3 magnitudes brighter than for one
_EROSITA_STARS = (('on chip', 9.8),)

MISSIONS = {
    mission.name: mission
    for mission in (
        Mission(
            name='xmm',
            telescope='XMM',
            cameras=(
                Camera(
                    name='pn',
                    layout='pn',
                    rate=6.6e11,
                    background_sky=9.0e-7,
                    background_particle=3.5e-7,
                    vignetting=10.5,
                    out_of_time=0.063,
                    frame_time=0.0734,
                    detector_pixel=4.1,
                    star_limits=_PN_STARS,
                ),
                Camera(
                    name='mos1',
                    layout='mos1',
                    rate=2.1e11,
                    background_sky=2.2e-7,
                    background_particle=0.6e-7,
                    vignetting=10.5,
                    out_of_time=0.0035,
                    frame_time=2.6,
                    detector_pixel=1.1,
                    star_limits=_MOS_STARS,
                ),
                Camera(
                    name='mos2',
                    layout='mos2',
                    rate=2.1e11,
                    background_sky=2.2e-7,
                    background_particle=0.6e-7,
                    vignetting=10.5,
                    out_of_time=0.0035,
                    frame_time=2.6,
                    detector_pixel=1.1,
                    star_limits=_MOS_STARS,
                ),
            ),
            psf=PointSpread(
                core_radius=5.0,
                slope=1.5,
                max_radius=300.0,
                stretch=0.62,
                flattening=0.64,
                reference=15.0,
            ),
            field=33.0,
            pixel_scale=4.0,
            pixel_scale_range=(1.5, 6.0),
            exposure=20e3,
            exposure_range=(3e3, 100e3),
            source=(
                'XMM-Newton Users Handbook, section 3.3 (modes, frame times, pixels of 150 and 40'
                ' micron at a focal length of 7.5 m); King profile between those of the pn (6.2 '
                'arcsec, 1.50; XMM-CCF-REL-116) and the MOS (4.7 arcsec, 1.46; XRT1_XPSF_0005) at'
                ' 1.5 keV; out of time: 200 lines of 23.04 us (pn, as in SIXTE), De Luca & '
                'Molendi 2004 (MOS); sum of the rates as the XXL conversion of 9.04e-13 erg/cm2 a'
                ' count (Adami+2018); vignetting and MOS background as in the maps of observation'
                ' 0098010101, pn background assumed; major axis and ellipticity off axis as in '
                'the 1.5 keV encircled-energy tables of SAS-based tools'
            ),
        ),
        Mission(
            name='erosita',
            telescope='eROSITA',
            cameras=(
                Camera(
                    name='tm0',
                    layout='survey',
                    rate=1.19e12,
                    background_sky=7.5e-7,
                    background_particle=2.5e-7,
                    frame_time=0.05,
                    detector_pixel=9.6,
                    n_telescopes=7,
                    star_limits=_EROSITA_STARS,
                ),
            ),
            psf=PointSpread(core_radius=10.5, slope=1.6, max_radius=400.0),
            field=34.0,
            pixel_scale=4.0,
            pixel_scale_range=(3.0, 8.0),
            exposure=1.3e3,
            exposure_range=(0.3e3, 8e3),
            source=(
                'Predehl+2021 (half-energy width of about 30 arcsec averaged over the field); '
                'Meidinger+2021 (frames of 50 ms); Brunner+2022, Liu+2022 (eFEDS: 2.2 ks, about '
                '1.3 ks vignetted; energy conversion); background as measured in an eFEDS patch, '
                'of which the closed filter wheel of DR1 (90-170 counts a minute and telescope in'
                ' 0.5-10 keV) gives 1.2e-7 to 2.3e-7 ct/s/arcsec2 if flat in energy'
            ),
        ),
        Mission(
            name='erosita-pointed',
            telescope='eROSITA',
            cameras=(
                Camera(
                    name='tm0',
                    layout='circle62',
                    rate=1.19e12,
                    background_sky=9.0e-7,
                    background_particle=2.5e-7,
                    vignetting=26.0,
                    frame_time=0.05,
                    detector_pixel=9.6,
                    n_telescopes=7,
                    star_limits=_EROSITA_STARS,
                ),
            ),
            psf=PointSpread(
                core_radius=6.3,
                slope=1.6,
                max_radius=400.0,
                stretch=1.6,
                flattening=0.35,
                reference=30.0,
            ),
            field=63.0,
            pixel_scale=4.0,
            pixel_scale_range=(4.0, 8.0),
            exposure=20e3,
            exposure_range=(5e3, 80e3),
            source=(
                'Predehl+2021: half-energy width 16-18 arcsec on axis, field 1.03 degrees, pixels'
                ' of 9.6 arcsec, frames of 50 ms, vignetting of one half near 25 arcmin; growth '
                'of the PSF off axis and more sky than in a survey assumed'
            ),
        ),
        Mission(
            name='chandra',
            telescope='CHANDRA',
            cameras=(
                Camera(
                    name='acis-i',
                    layout='acis-i',
                    rate=1.6e11,
                    background_sky=0.9e-7,
                    background_particle=1.6e-7,
                    vignetting=26.0,
                    out_of_time=0.013,
                    frame_time=3.2,
                    detector_pixel=0.492,
                ),
            ),
            psf=PointSpread(
                core_radius=0.55,
                slope=2.0,
                max_radius=60.0,
                stretch=11.0,
                flattening=0.35,
                reference=10.0,
            ),
            field=24.0,
            pixel_scale=1.968,
            pixel_scale_range=(0.984, 3.936),
            exposure=40e3,
            exposure_range=(5e3, 150e3),
            source=(
                "Chandra Proposers' Observatory Guide: half-energy radius 0.5 arcsec on axis and "
                '6-7 arcsec at 10 arcmin, four chips of 8.3 arcmin, background of about 0.06 '
                'counts a pixel in 1 Ms; CIAO dictionary (TIMEDEL): frames of 3.2 s and transfers'
                ' of 0.04104 s, so 1.3 % out of time; radii of 90 % of 4 and 17 arcsec at 4 and '
                '12 arcmin (ACIS PSF memo of the CXC, section 8); vignetting assumed'
            ),
        ),
        Mission(
            name='rosat',
            telescope='ROSAT',
            cameras=(
                Camera(
                    name='pspc',
                    layout='pspc',
                    rate=8.3e10,
                    background_sky=3.4e-8,
                    background_particle=0.2e-8,
                    vignetting=48.0,
                ),
            ),
            psf=PointSpread(
                core_radius=22.0,
                slope=3.0,
                max_radius=900.0,
                stretch=16.0,
                flattening=0.2,
                reference=60.0,
            ),
            field=116.0,
            pixel_scale=10.0,
            pixel_scale_range=(8.0, 15.0),
            exposure=12e3,
            exposure_range=(3e3, 50e3),
            source=(
                'Vikhlinin+1998 (rates, background of about 1.3e-4 ct/s/arcmin2 in the hard '
                'band); ROSAT GOF, after Hasinger+1994 (CAL/ROS/93-015), at 1 keV: FWHM 23 arcsec'
                ' on axis, 50 and 90 % inside 13 and 27 arcsec (the wings, 5 % beyond 93 arcsec, '
                'are left out), off axis with 0.29 arcsec t**1.74 of t arcmin in quadrature; '
                'flattening and vignetting assumed'
            ),
        ),
        Mission(
            name='ep',
            telescope='EP',
            cameras=(
                Camera(
                    name='fxta',
                    layout='square61',
                    rate=1.7e11,
                    background_sky=1.3e-7,
                    background_particle=0.044e-7,
                    vignetting=26.0,
                    frame_time=0.05,
                    detector_pixel=9.6,
                ),
                Camera(
                    name='fxtb',
                    layout='square61',
                    rate=1.7e11,
                    background_sky=1.3e-7,
                    background_particle=0.044e-7,
                    vignetting=26.0,
                    frame_time=0.05,
                    detector_pixel=9.6,
                ),
            ),
            psf=PointSpread(
                core_radius=8.0,
                slope=1.6,
                max_radius=400.0,
                stretch=1.6,
                flattening=0.35,
                reference=30.0,
            ),
            field=63.0,
            pixel_scale=9.6,
            pixel_scale_range=(4.0, 9.6),
            exposure=10e3,
            exposure_range=(2e3, 60e3),
            source=(
                'Yuan+2022, Chen+2020: two telescopes close to single eROSITA modules, '
                'half-energy width 22-24 arcsec, pixels of 9.6 arcsec, frames of 50 ms; '
                'Zhang+2025, arXiv:2507.00510: 0.04 ct/s/keV of particles in the 384 x 384 pixels'
                ' of each; rates, sky, vignetting and growth off axis assumed as of an eROSITA '
                'module'
            ),
        ),
    )
}
"""The missions by name."""


def get_mission(mission):
    """
    Return a mission by name, or the mission itself.

    Parameters
    ----------
    mission : str or `Mission`
        One of ``xmm``, ``erosita``, ``erosita-pointed``, ``chandra``,
        ``rosat``, ``ep``, or a table of your own.

    Returns
    -------
    mission : `Mission`
        The table.

    Raises
    ------
    ValueError
        If there is no mission of this name.

    Examples
    --------
    >>> from clustercnn.simulate import get_mission
    >>> get_mission('erosita').telescope
    'eROSITA'
    """
    if isinstance(mission, Mission):
        return mission
    return MISSIONS[check_one_of('mission', mission, MISSIONS)]
