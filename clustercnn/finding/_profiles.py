# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
PSF-convolved beta models against a point source on small stamps, plain arrays.
"""

import functools

import numpy as np
from scipy import fft, special

from clustercnn.finding._likelihood import lit_pixels, newton_amplitudes, scored_position

__all__ = [
    'OUTER_RADIUS',
    'TemplateBank',
    'Window',
    'amplitude_error',
    'beta_wings',
    'enclosed',
    'fit_amplitudes',
    'king_share',
    'king_wings',
    'position_step',
    'refined',
    'tail_likelihood',
    'template_bank',
]

# beta models end at so many core radii, which for a core radius of 0.15 r500 (Pacaud et al.
# 2006, MNRAS 372, 578) is 1.8 r500
OUTER_RADIUS = 12.0
# pixels are divided into this many along each side: positions are right to a sixth of a pixel,
# an odd number so that one place is the middle
_PHASES = 3
# of Newton, in the amplitude
_MOST_STEPS = 30


class TemplateBank:
    """
    Images of beta models behind a PSF, at any sub-pixel position.

    Each has the sum of that part of the model that falls on it.

    Parameters
    ----------
    radii : 1D `~numpy.ndarray`
        Core radii in pixels, 0 for a point source. The surface brightness is
        (1 + (r / radius)**2)**-1.5: beta = 2/3 (Cavaliere & Fusco-Femiano 1976).
    core_radius, slope : float
        Of the King profile of the PSF, in pixels.
    half : int
        Half the side of the images, which have a side of ``2 * half + 1``.
    outer : float, optional
        Where the King profile ends, in pixels, if that is not on the images.
    point : callable, optional
        Takes rising, evenly spaced offsets in pixels and returns what squares about them see of a
        point source, 2D `~numpy.ndarray`; used in place of the King profile.
    """

    def __init__(self, radii, *, core_radius=1.0, slope=1.5, half, outer=0.0, point=None):
        self.half = half
        self.radii = np.asarray(radii, float)
        self.core_radius, self.slope, self.outer = core_radius, slope, outer
        self.share = np.array([enclosed(half + 1, radius) for radius in radii])
        if point is None:
            self.share[self.radii <= 0] = king_share(half + 1, core_radius, slope, outer)
        self._ready = {}
        # a margin of one pixel on every side lets the images move by up to one
        reach = _PHASES * (half + 1) + _PHASES // 2
        side = 2 * reach + 1
        padded = fft.next_fast_len(side + side // 4, real=True)
        # single precision: of a bright source's wings nothing is lost that could be seen
        offset = (np.fft.fftfreq(padded, 1 / padded) / _PHASES).astype(np.float32)
        squared = offset[:, None] ** 2 + offset**2
        near = squared <= (half + 1) ** 2
        if point is None:
            psf = np.where(
                near, (1 + squared / max(core_radius, 0.15) ** 2) ** -slope, np.float32(0)
            )
        else:
            psf = np.where(near, np.fft.ifftshift(point(np.fft.fftshift(offset))), 0)
            psf = psf.astype(np.float32)
        transform = fft.rfft2(psf / psf.sum())
        self._grid = offset, near, transform
        self._sheared = {}
        self._fine = np.empty((len(radii), side, side), np.float32)
        for number, radius in enumerate(radii):
            image = psf
            if radius > 0:
                scaled = 1 + squared / np.float32(radius**2)
                image = self._behind_psf(np.where(near, 1 / (scaled * np.sqrt(scaled)), 0))
            image = np.roll(image, (reach, reach), axis=(0, 1))[:side, :side]
            self._fine[number] = np.maximum(image, 0)

    def _behind_psf(self, plane):
        return fft.irfft2(fft.rfft2(plane.astype(np.float32)) * self._grid[2], s=plane.shape)

    def sheared(self, number, phase_x, phase_y):
        """
        Return how an extended model changes as it becomes longer than wide.

        Parameters
        ----------
        number : int
            Of the model.
        phase_x, phase_y : int
            As for `at`.

        Returns
        -------
        planes : 3D `~numpy.ndarray`
            The change of what `at` returns, behind the same PSF, with the logarithm of the length
            along x, the width along y falling by as much; and along the diagonal.
        """
        if number not in self._sheared:
            offset, near, _ = self._grid
            side = self._fine.shape[1]
            reach = side // 2
            radius = float(self.radii[number])
            x, y = offset[None], offset[:, None]
            # of (1 + r**2 / radius**2)**-1.5
            slope = np.where(near, (1 + (x**2 + y**2) / radius**2) ** -2.5, 0) * (3 / radius**2)
            self._sheared[number] = np.stack(
                [
                    np.roll(self._behind_psf(slope * shape), (reach, reach), axis=(0, 1))
                    for shape in (x**2 - y**2, 2 * x * y)
                ]
            )[:, :side, :side].copy()
        phase = phase_y, phase_x
        whole = self._in_pixels(self._fine[number : number + 1], phase).sum() / self.share[number]
        return self._in_pixels(self._sheared[number], phase) / whole

    @staticmethod
    def phase(shift):
        """
        Return the step of the sub-pixel grid that is nearest to a shift in pixels.

        Parameters
        ----------
        shift : float
            Off the middle pixel.

        Returns
        -------
        phase : int
            In units of one over the number of steps a pixel.
        """
        return round(shift * _PHASES)

    @property
    def step(self):
        """
        Distance of two phases in pixels (float).
        """
        return 1 / _PHASES

    def around(self, phase_x, phase_y):
        """
        Return the models at a place and at those next to it.

        Parameters
        ----------
        phase_x, phase_y : int
            As for `at`, and less than a pixel.

        Returns
        -------
        templates : tuple of 3D `~numpy.ndarray` of float32
            There, a step after and before along x, and along y.
        """
        places = (0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)
        return tuple(self.at(phase_x + dx, phase_y + dy) for dx, dy in places)

    def wings(self, number, distance_squared):
        """
        Return what of a model of one count lies beyond its image.

        Parameters
        ----------
        number : int
            Of the model.
        distance_squared : 2D `~numpy.ndarray`
            From its centre, in pixels squared.

        Returns
        -------
        wings : 2D `~numpy.ndarray`
            Per pixel, zero on the image; of extended models without a PSF.
        """
        inner, radius = self.half + 1, float(self.radii[number])
        if radius > 0:
            return beta_wings(distance_squared, radius, inner)
        return king_wings(distance_squared, self.core_radius, self.slope, inner, self.outer)

    def at(self, phase_x, phase_y):
        """
        Return the models centred off the middle pixel.

        Parameters
        ----------
        phase_x, phase_y : int
            From `phase`, at most a pixel either way.

        Returns
        -------
        templates : 3D `~numpy.ndarray` of float32
            Each of the sum of ``share``.
        """
        phase = phase_y, phase_x
        if phase not in self._ready:
            part = self._in_pixels(self._fine, phase)
            total = part.sum(axis=(1, 2)) / self.share
            self._ready[phase] = (part / total[:, None, None]).astype(np.float32)
        return self._ready[phase]

    def _in_pixels(self, fine, phase):
        n_fine = (2 * self.half + 1) * _PHASES
        rows, columns = (slice(_PHASES - step, _PHASES - step + n_fine) for step in phase)
        part = fine[:, rows, columns]
        # strided sums are several times faster than those over a reshaped array
        part = sum(part[:, step::_PHASES] for step in range(_PHASES))
        return sum(part[:, :, step::_PHASES] for step in range(_PHASES))


def enclosed(distance, radius):
    """
    Return the part of a beta model within a distance, without a PSF.

    Parameters
    ----------
    distance, radius : float
        The distance and the core radius, 0 for a point source.

    Returns
    -------
    part : float
        1 from `OUTER_RADIUS` core radii on.
    """
    if radius <= 0 or distance >= OUTER_RADIUS * radius:
        return 1.0
    inside, whole = (1 - 1 / np.hypot(1, r) for r in (distance / radius, OUTER_RADIUS))
    return float(inside / whole)


def beta_wings(distance_squared, radius, inner):
    """
    Return a beta model of sum 1 outside a distance from its centre.

    Parameters
    ----------
    distance_squared : 2D `~numpy.ndarray`
        From the centre, in pixels squared.
    radius : float
        Core radius in pixels.
    inner : float
        Where the wings begin.

    Returns
    -------
    wings : 2D `~numpy.ndarray`
        Zero within ``inner`` and from the outer radius on.
    """
    scaled = 1 + distance_squared / radius**2
    whole = 2 * np.pi * radius**2 * (1 - 1 / np.hypot(1, OUTER_RADIUS))
    here = (distance_squared > inner**2) & (scaled < 1 + OUTER_RADIUS**2)
    return np.where(here, 1 / (scaled * np.sqrt(scaled)), 0) / whole


def king_share(distance, core_radius, slope, outer):
    """
    Return the part of a King profile within a distance.

    Parameters
    ----------
    distance, core_radius, slope : float
        The distance, and the profile ``(1 + (r / core_radius)**2)**-slope``.
    outer : float
        Where the profile ends, in the same unit.

    Returns
    -------
    part : float
        1 where it ends before.
    """
    if outer <= distance:
        return 1.0
    inside, whole = (1 - (1 + (r / core_radius) ** 2) ** (1 - slope) for r in (distance, outer))
    return float(inside / whole)


def king_wings(distance_squared, core_radius, slope, inner, outer):
    """
    Return a King profile of sum 1 outside a distance from its centre.

    Parameters
    ----------
    distance_squared : 2D `~numpy.ndarray`
        From the centre, in pixels squared.
    core_radius, slope : float
        Of the profile, in pixels.
    inner, outer : float
        Where the wings begin and end.

    Returns
    -------
    wings : 2D `~numpy.ndarray`
        Zero elsewhere.
    """
    whole = np.pi * core_radius**2 / (slope - 1)
    whole *= 1 - (1 + (outer / core_radius) ** 2) ** (1 - slope)
    here = (distance_squared > inner**2) & (distance_squared < outer**2)
    return np.where(here, (1 + distance_squared / core_radius**2) ** -slope, 0) / whole


@functools.lru_cache(maxsize=8)
def template_bank(radii, core_radius, slope, half, outer=0.0):
    """
    Return a bank of templates, that made before for the same arguments if there is one.

    Parameters
    ----------
    radii : tuple of float
        Core radii in pixels.
    core_radius, slope, half, outer : float
        As for `TemplateBank`.

    Returns
    -------
    bank : TemplateBank
        Shared: not to be changed.
    """
    shape = {'core_radius': core_radius, 'slope': slope, 'outer': outer}
    return TemplateBank(np.array(radii), half=half, **shape)


class Window:
    """
    A part of the image, and which of its pixels hold photons: only they enter sums over the data.

    Parameters
    ----------
    counts, background : 2D `~numpy.ndarray`
        The part.
    response : 2D `~numpy.ndarray`
        Relative exposure, 0 where nothing is known.
    """

    def __init__(self, counts, background, response):
        self.shape = counts.shape
        self.counts = counts.astype(np.float64).ravel()
        self.response = response.ravel()
        self.background = np.maximum(background, 1e-6).ravel()
        self.lit, self.photons, self.dark = lit_pixels(self.counts, self.background, self.response)

    def excess(self):
        """
        Return the counts over the background where anything was exposed (float).
        """
        return float(((self.counts - self.background) * (self.response > 0)).sum())


def fit_amplitudes(window, templates, *, start=None):
    """
    Fit the amplitude of each template to a stamp by Cash likelihood.

    Cash 1979, ApJ 228, 939, with a known background; Newton's steps in the amplitude.

    Parameters
    ----------
    window : Window
        The stamp.
    templates : 3D `~numpy.ndarray`
        Shape ``(k, ny, nx)``.
    start : 1D `~numpy.ndarray`, optional
        Amplitudes to begin with; by default all counts over the background.

    Returns
    -------
    statistic : 1D `~numpy.ndarray`
        Improvement of the Cash statistic over background alone, shape ``(k,)``.
    amplitude : 1D `~numpy.ndarray`
        Source counts at the stamp's best exposure.
    error : 1D `~numpy.ndarray`
        One sigma, from the curvature.
    """
    if start is None:
        start = np.full(len(templates), window.excess())
    statistic, amplitude, curvature = newton_amplitudes(
        templates.reshape(len(templates), -1),
        window.lit,
        window.photons,
        window.dark,
        window.response,
        np.maximum(start, 1.0),
        _MOST_STEPS,
    )
    return statistic, amplitude, 1 / np.sqrt(curvature)


def position_step(window, planes, amplitude):
    """
    Return the shift that a model wants, and the information in it.

    Fisher scoring for the position, the amplitude held, with the information at the start.

    Parameters
    ----------
    window : Window
        The stamp.
    planes : 3D `~numpy.ndarray`
        The model, and its change when its centre moves along x and along y, per pixel.
    amplitude : float
        Its counts.

    Returns
    -------
    shift : tuple of float
        Along x and y in pixels, at most half a pixel.
    information : tuple of float
        Inverse variances of x and y, in 1/pixel**2.
    """
    return scored_position(
        planes.reshape(3, -1),
        amplitude,
        window.lit,
        window.photons,
        window.dark,
        window.background,
        window.response,
    )


def amplitude_error(radii, statistic, amplitude, error, best):
    """
    Return the error of an amplitude, that of an extended source with its radius left free.

    Parameters
    ----------
    radii, statistic, amplitude, error : 1D `~numpy.ndarray`
        Core radius of each model, and what `fit_amplitudes` makes of it.
    best : int
        Number of the best among them.

    Returns
    -------
    error : float
        One sigma.
    """
    if best == 0:
        return float(error[0])
    weight = np.exp((statistic - statistic[best]) / 2) * np.gradient(radii)
    weight[0] = 0
    spread = (weight * (amplitude - amplitude[best]) ** 2).sum() / weight.sum()
    return float(np.sqrt(error[best] ** 2 + spread))


def refined(radii, models, statistic, amplitude, top):
    """
    Return the core radius at the top of a parabola through three models, its error, and the
    amplitude there.

    Parameters
    ----------
    radii : 1D `~numpy.ndarray`
        Core radii of all models.
    models : 1D `~numpy.ndarray` of int
        Numbers of those that were fitted.
    statistic, amplitude : 1D `~numpy.ndarray`
        What `fit_amplitudes` makes of these.
    top : int
        Number of the best among them.

    Returns
    -------
    radius, error, amplitude : float
        The radius and its error in pixels.
    """
    if len(models) == 1:
        error = float(radii[1] / 2) if len(radii) > 1 else np.nan
        return 0.0, error, float(amplitude[top])
    step = np.gradient(radii)[models[top]]
    radii = radii[models]
    inside = radii[statistic > statistic[top] - 1.0]
    error = max((inside.max() - inside.min()) / 2, step / 2)
    radius, total = radii[top], amplitude[top]
    beside = slice(top - 1, top + 2)
    if 1 < top < len(radii) - 1 and np.isfinite(statistic[beside]).all():
        place = np.log(radii[beside] / radius)
        curve, slope = _parabola(place, statistic[beside])
        if curve < 0:
            at = min(max(-slope / (2 * curve), place[0]), place[2])
            # the statistic falls by one within a sigma
            error = max(radius * np.exp(at) / np.sqrt(-curve), 1e-3)
            radius = radius * np.exp(at)
            curve, slope = _parabola(place, np.log(amplitude[beside]))
            total *= np.exp(curve * at**2 + slope * at)
    return float(radius), float(error), float(total)


def _parabola(place, value):
    """
    Return the quadratic and the linear coefficient of a parabola through three points, the
    second of which is at 0.
    """
    before, after = ((value[k] - value[1]) / place[k] for k in (0, 2))
    curve = (after - before) / (place[2] - place[0])
    return curve, after - curve * place[2]


def tail_likelihood(gain, n_parameters):
    """
    Return -ln P of a gain in the statistic, also where P is below the smallest double.

    Parameters
    ----------
    gain : 1D `~numpy.ndarray`
        Of the Cash statistic, distributed as chi-square (Wilks 1938).
    n_parameters : int or 1D `~numpy.ndarray`
        Fitted parameters.

    Returns
    -------
    likelihood : 1D `~numpy.ndarray`
        At least 0.
    """
    half = np.maximum(gain, 0.0) / 2
    a = np.asarray(n_parameters) / 2
    tail = special.gammaincc(a, half)
    exact = -np.log(np.maximum(tail, 1e-300))
    # the first terms of the asymptotic series of the incomplete gamma function (NIST Digital
    # Library of Mathematical Functions, 8.11.2); the next is of some 1e-8 there
    far = np.maximum(half, 100.0)
    series = 1 + (a - 1) / far * (1 + (a - 2) / far)
    beyond = far - (a - 1) * np.log(far) + special.gammaln(a) - np.log(series)
    return np.where(tail > 1e-250, exact, beyond)
