# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
From positions to candidates: likelihoods, extent, counts, flags.
"""

import dataclasses

import numpy as np
from scipy import ndimage

from clustercnn.core import CandidateCatalog, CandidateFlag
from clustercnn.finding._alternatives import PointShape, Stamp, fit_blend, fit_core, fit_pair
from clustercnn.finding._profiles import (
    OUTER_RADIUS,
    beta_wings,
    fit_amplitudes,
    position_step,
    tail_likelihood,
    template_bank,
)
from clustercnn.finding._psf import axis_of, point_spread_of

__all__ = ['SourceFitter', 'characterise']

# in units of the FWHM of the PSF: below a third nothing can be told from a point
_RADII = np.array([0.0, 0.3, 0.45, 0.65, 0.95, 1.35, 1.9, 2.7, 3.8, 5.4, 7.6, 10.8])
_LARGEST_RADIUS = 120.0  # arcsec; what is larger does not fit on a stamp
_SATURATED_COUNTS = 60_000
_MOST_ROUNDS = 6
# wings of fewer counts are not drawn beyond the stamp
_FEW_COUNTS = 3.0
# how much more than one source two must gain in the statistic, so that chance rarely does:
# three for each parameter more than a beta model has, and what a detection needs over a point
_PAIR_GAIN = {True: 6.0, False: 25.0}
_CORE_GAIN = {True: 12.0, False: 25.0}
# an extended source of less than this share may be the wings of the point source
_LEAST_SHARE = 0.15
# point sources with less can hide nothing that could be told
_BRIGHT_GAIN = 80.0


def characterise(image, x, y, significance, background, *, psf_fwhm, fits=None, meta=None):
    """
    Fit a point source and beta models near given positions and make a catalogue.

    Sources are fitted in the order of significance, each over the models of those before
    it, then over the models of all others until none changes. Those whose fit ends on a more
    significant source, or finds fewer counts than their error, are left out and counted in
    the catalogue's ``meta['dropped']``.

    Parameters
    ----------
    image : XrayImage
        The image.
    x, y : 1D `~numpy.ndarray`
        Positions in pixels, where the fit of the position starts.
    significance : 1D `~numpy.ndarray`
        Of the detection, in sigma.
    background : 2D `~numpy.ndarray`
        Expected background counts per pixel.
    psf_fwhm : float
        On axis, in arcsec.
    fits : list, optional
        First fits of the sources, as from `SourceFitter.fit`, made here if not given.
    meta : dict, optional
        Provenance.

    Returns
    -------
    catalog : CandidateCatalog
        In the order of significance.

    Examples
    --------
    >>> import numpy as np
    >>> from clustercnn.finding import characterise, estimate_background
    >>> from clustercnn.testing import tiny_image
    >>> image = tiny_image()
    >>> catalog = characterise(image, np.array([31.5]), np.array([31.5]), np.array([9.0]),
    ...                        estimate_background(image, psf_pixels=2.0), psf_fwhm=8.0)
    >>> len(catalog), catalog['counts'].unit
    (1, Unit("ct"))
    """
    if len(x) == 0:
        return CandidateCatalog.empty(meta=meta)
    order = np.argsort(-np.asarray(significance), kind='stable')
    x, y, significance = np.asarray(x)[order], np.asarray(y)[order], significance[order]
    scale = image.pixel_scale.value
    fitter = SourceFitter(image, psf_fwhm=psf_fwhm)
    counts = np.where(image.valid, image.counts, 0).astype(np.float64)
    model = np.zeros(image.shape)
    first = None if fits is None else [fits[number] for number in order]
    fits = []
    for number, at in enumerate(zip(x, y, strict=True)):
        made = None if first is None else first[number]
        fits.append(fitter.fit(counts, background + model, *at) if made is None else made)
        fitter.paint(model, fits[-1])
    _fit_together(fitter, fits, counts, background, model)
    fits, parents, reasons = _keep_distinct(fitter, fits, counts, background, model)
    significance = significance[parents]
    fits, parents, n_cores = _merge_cores(fits)
    significance = significance[parents]
    if n_cores:
        reasons['detections that are the core of an extended source'] = n_cores
    fits, parents = _resolve(fitter, fits, counts, background, model)
    significance = significance[parents]
    fits, parents, more = _keep_distinct(fitter, fits, counts, background, model)
    significance = significance[parents]
    reasons = {name: reasons.get(name, 0) + more.get(name, 0) for name in {**reasons, **more}}
    meta = dict(meta or {})
    meta['dropped'] = {**meta.get('dropped', {}), **reasons}
    if not fits:
        return CandidateCatalog.empty(meta=meta)
    columns = {
        name: np.array([getattr(fit, name) for fit in fits])
        for name in ('x', 'y', 'pos_err', 'counts', 'counts_err', 'gain', 'extent_gain')
    }
    x, y = columns['x'], columns['y']
    radius = np.array([fit.radius for fit in fits]) * scale
    extended = radius > 0
    ix = np.clip(np.rint(x).astype(int), 0, image.shape[1] - 1)
    iy = np.clip(np.rint(y).astype(int), 0, image.shape[0] - 1)
    positions = image.pixel_to_sky(x, y)
    size = np.hypot(np.array([fit.fwhm for fit in fits]) / 2.3548, radius / scale)
    exposure = np.full(len(x), np.nan)
    if image.exposure is not None and image.exposure_unit.to_string() == 's':
        exposure = image.exposure[iy, ix]
    return CandidateCatalog.from_columns(
        ra=positions.ra,
        dec=positions.dec,
        pos_err=columns['pos_err'] * scale,
        x=x,
        y=y,
        counts=columns['counts'],
        counts_err=columns['counts_err'],
        background=background[iy, ix] / scale**2,
        exposure=exposure,
        significance=significance,
        # amplitude and position, and the core radius where there is one
        det_like=tail_likelihood(columns['gain'], 3 + extended),
        extent=radius,
        extent_err=np.array([fit.radius_err for fit in fits]) * scale,
        # the radius is at the edge of what is allowed for a point source, hence half the tail
        # (Chernoff 1954, Ann. Math. Stat. 25, 573)
        ext_like=np.where(extended, tail_likelihood(columns['extent_gain'], 1) + np.log(2), 0.0),
        flags=_flags(
            image,
            x,
            y,
            ix,
            iy,
            size,
            [f.at_limit for f in fits],
            columns['counts'],
            psf_fwhm / scale,
        ),
        meta=meta,
        pair_like=np.array([fit.pair_gain for fit in fits]) / 2,
        core_like=np.array([fit.core_gain for fit in fits]) / 2,
        core_counts=np.array([fit.core_counts for fit in fits]),
    )


def _fit_together(fitter, fits, counts, background, model, *, moving=None):
    """
    Fit every source again over the models of all others, until none changes; in place.

    ``moving`` are the numbers of those to begin with, all by default.

    The first fit of one of two neighbours takes in some of the other, and the two share
    their photons out between them in the course of several rounds.
    """
    moving = range(len(fits)) if moving is None else moving
    for _ in range(_MOST_ROUNDS):
        changed = []
        for number in moving:
            before = fits[number]
            fitter.paint(model, before, factor=-1)
            rest = background + model
            after = fitter.fit(counts, rest, before.x, before.y, point_only=before.point_only)
            after = dataclasses.replace(
                after, pair_gain=before.pair_gain, core_gain=before.core_gain
            )
            if before.core is not None:
                after = fitter.with_core(counts, rest, after)
            fitter.paint(model, after)
            fits[number] = after
            if abs(after.counts - before.counts) > 0.2 * after.counts_err:
                changed.append(number)
        # those that stand still are looked at again only beside one that moves
        moving = [
            number
            for number, fit in enumerate(fits)
            if any(
                np.hypot(fit.x - fits[other].x, fit.y - fits[other].y) < fitter.half
                for other in changed
            )
        ]
        if not moving:
            break


def _distinct(fits):
    """
    Return which fits stand for sources of their own, and why the others do not.

    Where the PSF is not quite that of the image, what a bright source leaves behind can be
    significant; its fit ends upon the source, or on nothing.
    """
    kept, n_merged, n_nothing = [], 0, 0
    for number, fit in enumerate(fits):
        others = (fits[other] for other in kept)
        if any(np.hypot(fit.x - o.x, fit.y - o.y) < 0.7 * max(o.fwhm, 1.5) for o in others):
            n_merged += 1
        elif fit.counts < fit.counts_err:
            n_nothing += 1
        else:
            kept.append(number)
    reasons = {
        'detections whose fit ended on a more significant source': n_merged,
        'detections whose fit found fewer counts than their error': n_nothing,
    }
    return kept, {reason: n for reason, n in reasons.items() if n}


def _keep_distinct(fitter, fits, counts, background, model):
    """
    Leave out fits that stand for no source of their own, and fit the others again.

    Returns the fits, the number each had, and why how many were left out.
    """
    kept, reasons = _distinct(fits)
    if reasons:
        # what they took goes back to whom it belongs to
        for number in set(range(len(fits))) - set(kept):
            fitter.paint(model, fits[number], factor=-1)
        fits = [fits[number] for number in kept]
        _fit_together(fitter, fits, counts, background, model)
    return fits, kept, reasons


def _merge_cores(fits):
    """
    Make one source of an extended one and a narrower extended one in its core.

    The bright core of a cluster is fitted on its own where one beta model is not enough. Its
    counts go to its cluster; what was drawn of it stays drawn. A point source in a cluster
    stays a source.

    Returns the fits, the number each had, and how many were merged.
    """
    fits, core_of = list(fits), {}
    for number in sorted(range(len(fits)), key=lambda number: fits[number].radius):
        fit = fits[number]
        if fit.radius <= 0:
            continue
        hosts = [
            other
            for other, host in enumerate(fits)
            if other not in core_of
            and host.radius > 1.5 * fit.radius
            and np.hypot(host.x - fit.x, host.y - fit.y) < max(host.radius, fit.fwhm)
        ]
        if hosts:
            core_of[number] = max(hosts, key=lambda other: fits[other].counts)
    for number, host in core_of.items():
        core, cluster = fits[number], fits[host]
        fits[host] = dataclasses.replace(
            cluster,
            counts=cluster.counts + core.counts,
            counts_err=float(np.hypot(cluster.counts_err, core.counts_err)),
        )
    kept = [number for number in range(len(fits)) if number not in core_of]
    return [fits[number] for number in kept], kept, len(core_of)


def _resolve(fitter, fits, counts, background, model):
    """
    Compare each source with two point sources and with a cluster round a point source.

    Two point sources take its place where they describe the photons better. Returns the fits
    and, for each, the number of the one it comes from.
    """
    made, parents, split = [], [], []
    for number, fit in enumerate(fits):
        extended = fit.radius > 0
        if not extended and fit.gain < _BRIGHT_GAIN:
            made.append(fit)
            parents.append(number)
            continue
        fitter.paint(model, fit, factor=-1)
        fit, pair = fitter.compare(counts, background + model, fit)
        if pair is None:
            fitter.paint(model, fit)
            if fit.core is not None:
                split.append(len(made))
            made.append(fit)
            parents.append(number)
            continue
        for one in pair:
            fitter.paint(model, one)
            split.append(len(made))
            made.append(one)
            parents.append(number)
    if split:
        _fit_together(fitter, made, counts, background, model, moving=split)
    return made, parents


def _relative(image):
    """
    Return the exposure relative to its largest value, 0 where nothing is valid.
    """
    if image.exposure is None:
        return image.valid.astype(np.float64)
    return np.where(image.valid, image.exposure, 0) / max(float(image.exposure.max()), 1e-30)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SourceFit:
    """
    What a fit found: lengths in pixels, the amplitude in counts for the best exposure of the
    image, counts as they are on the detector.
    """

    x: float
    y: float
    pos_err: float
    model: int
    psf_step: int
    fwhm: float
    amplitude: float
    counts: float
    counts_err: float
    radius: float
    radius_err: float
    gain: float
    extent_gain: float
    at_limit: bool
    point_only: bool = False
    pair_gain: float = np.nan
    core_gain: float = np.nan
    core: tuple | None = None
    core_counts: float = 0.0


class SourceFitter:
    """
    Fits one source after another and keeps what the models add to the image.

    Parameters
    ----------
    image : XrayImage
        Gives exposure, pixel size and mission.
    psf_fwhm : float
        On axis, in arcsec.
    """

    def __init__(self, image, *, psf_fwhm):
        scale = image.pixel_scale.value
        self.half = int(np.clip(round(150 / scale), 12, 40))
        self.response = _relative(image)
        self.psf = point_spread_of(image.mission, psf_fwhm, scale)
        self.axis = axis_of(self.response)
        self.largest = _LARGEST_RADIUS / scale
        self._banks = {}

    def _step(self, x, y):
        """
        Return how much the PSF has grown at a place, in steps of a tenth.
        """
        growth = self.psf.growth(np.hypot(x - self.axis[0], y - self.axis[1]))
        return round(np.log(growth) / np.log(1.1))

    def _bank(self, step):
        """
        Return the models for a growth of the PSF, their core radii, and its FWHM.
        """
        if step not in self._banks:
            growth = 1.1**step
            # half a pixel of width is what the grid itself adds
            unit = max(self.psf.fwhm * growth, 1.5)
            radii = _RADII * unit
            radii = radii[radii <= min(self.largest, self.half)]
            bank = template_bank(
                tuple(radii.tolist()),
                float(self.psf.core_radius * growth),
                self.psf.slope,
                2 * self.half,
            )
            self._banks[step] = bank, radii, self.psf.fwhm * growth
        return self._banks[step]

    def _overlap(self, x, y, half):
        """
        Return the slices of image and stamp that lie over each other.
        """
        pairs = []
        for centre, size in zip((y, x), self.response.shape, strict=True):
            start = int(np.rint(centre)) - half
            low, high = max(start, 0), min(start + 2 * half + 1, size)
            pairs.append((slice(low, high), slice(low - start, high - start)))
        return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)

    def _stamps(self, bank, x, y, there):
        """
        Return the models at a position on that part of a stamp that the image covers.
        """
        inner = bank.at(*_phases(bank, x, y))[:, self.half : -self.half, self.half : -self.half]
        return inner[:, there[0], there[1]]

    def _slopes(self, bank, x, y, there, model):
        """
        Return how a model changes as it moves along x and y.
        """
        phase_x, phase_y = _phases(bank, x, y)
        inner = slice(self.half, -self.half)
        slopes = []
        for dx, dy in ((1, 0), (0, 1)):
            ahead = bank.at(phase_x + dx, phase_y + dy)[model, inner, inner]
            behind = bank.at(phase_x - dx, phase_y - dy)[model, inner, inner]
            slopes.append((ahead - behind)[there] / (2 * bank.step))
        return slopes

    def fit(self, counts, background, x, y, *, point_only=False):
        """
        Fit all models near a position.

        Parameters
        ----------
        counts, background : 2D `~numpy.ndarray`
            Counts, and what is expected without this source.
        x, y : float
            Where to start, in pixels.
        point_only : bool, optional
            Whether a point source is the only model.

        Returns
        -------
        fit : object
            Position, model, counts and what the models gained.
        """
        # that of the start, so that one fit compares models of one PSF
        psf_step = self._step(x, y)
        bank, radii, fwhm = self._bank(psf_step)
        start = x, y
        for _ in range(5):
            here, there = self._overlap(x, y, self.half)
            planes = counts[here], background[here], self.response[here]
            templates = self._stamps(bank, x, y, there)[: 1 if point_only else None]
            statistic, amplitude, error = fit_amplitudes(*planes, templates)
            best = int(np.argmax(statistic))
            slopes = self._slopes(bank, x, y, there, best)
            steps, information = position_step(*planes, templates[best], slopes, amplitude[best])
            # no further away than the source is wide, and not out of the image
            reach = max(0.5 * fwhm + 0.5 * radii[best], 1.0)
            before, moved = _grid_place(bank, x, y), []
            for middle, step, first, size in zip(
                before, steps, start, self.response.shape[::-1], strict=True
            ):
                at = np.clip(middle + np.clip(step, -1, 1), first - reach, first + reach)
                moved.append(float(np.clip(at, 0, size - 1)))
            x, y = moved
            if _grid_place(bank, x, y) == before:
                break
        seen = self._seen(bank, x, y, best)
        error = _amplitude_error(radii, statistic, amplitude, error, best)
        radius, radius_err = _refined_radius(radii, statistic, best)
        return _SourceFit(
            x=x,
            y=y,
            pos_err=float(np.sqrt(sum(0.5 / max(value, 1e-6) for value in information))),
            model=best,
            psf_step=psf_step,
            fwhm=fwhm,
            amplitude=float(amplitude[best]),
            counts=float(amplitude[best]) * seen,
            counts_err=error * seen,
            radius=radius,
            radius_err=radius_err,
            gain=float(statistic[best]),
            extent_gain=float(statistic[best] - statistic[0]),
            at_limit=best == len(radii) - 1,
            point_only=point_only,
        )

    def _seen(self, bank, x, y, model):
        """
        Return which part of a model's photons the exposure lets through.
        """
        here, there = self._overlap(x, y, 2 * self.half)
        template = bank.at(*_phases(bank, x, y))[model]
        # beyond the stamp the exposure is taken to be what it is on it
        return float((template[there] * self.response[here]).sum() / bank.share[model])

    def radius_of(self, fit):
        """
        Return the core radius of the model of a fit, in pixels.
        """
        return self._bank(fit.psf_step)[1][fit.model]

    def compare(self, counts, background, fit):
        """
        Compare one source with two point sources and with a cluster round a point source.

        Parameters
        ----------
        counts, background : 2D `~numpy.ndarray`
            Counts, and what is expected without this source.
        fit : object
            From `fit`.

        Returns
        -------
        fit : object
            With what the others gain; the third itself where it describes the photons best.
        pair : tuple of object or None
            The two sources that take its place, if the second does.
        """
        fwhm = fit.fwhm
        extended = fit.radius > 0
        if fit.core is not None:
            # begin without it
            alone = self.fit(counts, background, fit.x, fit.y)
            fit = dataclasses.replace(alone, pair_gain=fit.pair_gain, core_gain=fit.core_gain)
            extended = fit.radius > 0
        stamp = self.stamp(counts, background, fit)
        start = [fit.x], [fit.y], [fit.amplitude]
        single = point = fit_blend(stamp, (0,), *start, reach=fwhm).statistic
        if extended:
            single = fit_blend(stamp, (fit.model,), *start, reach=fwhm).statistic
            # off axis the PSF is longer than wide, which the models of the fit are not
            gain = min(fit.extent_gain, single - point)
            fit = dataclasses.replace(fit, extent_gain=max(gain, 0.0))
            if gain <= 0:
                single, extended = point, False
                fit = dataclasses.replace(fit, model=0, radius=0.0)
        pair, elongation = fit_pair(
            stamp, fit.x, fit.y, fit.amplitude, radius=self.radius_of(fit), fwhm=fwhm
        )
        pair_gain = min(pair.statistic - single, elongation)
        fit = dataclasses.replace(fit, pair_gain=pair_gain)
        cored = self.with_core(counts, background, fit)
        apart = float(np.hypot(*np.diff([pair.x, pair.y])[:, 0]))
        if pair_gain > max(_PAIR_GAIN[extended], cored.core_gain - 6) and apart > 0.7 * fwhm:
            points = zip(pair.x.tolist(), pair.y.tolist(), pair.amplitude.tolist(), strict=True)
            return fit, tuple(
                dataclasses.replace(
                    fit, x=x, y=y, amplitude=amplitude, model=0, radius=0.0, point_only=True
                )
                for x, y, amplitude in points
            )
        if pair_gain > cored.core_gain:
            cored = dataclasses.replace(fit, core_gain=cored.core_gain)
        return cored, None

    def with_core(self, counts, background, fit):
        """
        Fit a cluster round a point source, and take it where it describes the photons better.

        Parameters
        ----------
        counts, background : 2D `~numpy.ndarray`
            Counts, and what is expected without this source.
        fit : object
            From `fit`.

        Returns
        -------
        fit : object
            With what the point source gains; with a point source if that is enough.
        """
        bank, radii, fwhm = self._bank(fit.psf_step)
        extended = fit.radius > 0
        stamp = self.stamp(counts, background, fit, half=self.half)
        total = fit.amplitude
        if extended:
            models = range(fit.model, len(radii))
        else:
            # round a point source only what is wider than the PSF can be told
            models = range(min(4, len(radii) - 1), len(radii), 2)
        start = [fit.x], [fit.y], [total]
        point = fit_blend(stamp, (0,), *start, reach=fwhm).statistic
        single = fit_blend(stamp, (fit.model,), *start, reach=fwhm).statistic
        blend, statistics = fit_core(stamp, fit.x, fit.y, total, models=models, fwhm=fwhm)
        gain = blend.statistic - single
        share = blend.amplitude[0] / blend.amplitude.sum()
        if gain < _CORE_GAIN[extended] or share < _LEAST_SHARE:
            return dataclasses.replace(fit, core_gain=gain)
        model, _ = blend.models
        x, y, amplitude = (values.tolist() for values in (blend.x, blend.y, blend.amplitude))
        statistic = np.array([statistics.get(k, -np.inf) for k in range(len(radii))])
        radius, radius_err = _refined_radius(radii, statistic, model)
        core_counts = amplitude[1] * self._seen(bank, x[1], y[1], 0)
        counts = amplitude[0] * self._seen(bank, x[0], y[0], model)
        return dataclasses.replace(
            fit,
            x=x[0],
            y=y[0],
            model=model,
            amplitude=amplitude[0],
            core=(x[1], y[1], amplitude[1]),
            core_counts=core_counts,
            counts=counts + core_counts,
            counts_err=max(fit.counts_err, float(np.sqrt(counts + core_counts))),
            radius=radius,
            radius_err=radius_err,
            gain=blend.statistic,
            extent_gain=blend.statistic - point,
            core_gain=gain,
            at_limit=model == len(radii) - 1,
        )

    def stamp(self, counts, background, fit, *, half=None):
        """
        Return the part of the image on which the models of one source are compared.
        """
        if half is None:
            half = int(np.clip(np.ceil(4 * fit.fwhm + 2 * self.radius_of(fit)), 6, self.half))
        here, _ = self._overlap(fit.x, fit.y, half)
        planes = counts[here], background[here], self.response[here]
        bank = self._bank(fit.psf_step)[0]
        return Stamp(planes, bank, (here[1].start, here[0].start), self._point(fit.x, fit.y))

    def _point(self, x, y):
        """
        Return the PSF at a place.
        """
        dx, dy = x - self.axis[0], y - self.axis[1]
        # as narrow as the bank's at least
        radial, tangential = (
            max(factor * self.psf.core_radius, 0.15) for factor in self.psf.axes(np.hypot(dx, dy))
        )
        return PointShape(
            radial=radial,
            tangential=tangential,
            slope=self.psf.slope,
            angle=float(np.arctan2(dy, dx)),
            reach=2 * self.half + 1,
        )

    def paint(self, model, fit, *, factor=1.0):
        """
        Add a fitted source to the image of all models, or take it away.

        Parameters
        ----------
        model : 2D `~numpy.ndarray`
            Changed in place.
        fit : object
            From `fit`.
        factor : float, optional
            -1 takes it away.
        """
        bank = self._bank(fit.psf_step)[0]
        self._add(model, bank, fit.model, fit.x, fit.y, factor * fit.amplitude)
        if fit.amplitude * (1 - bank.share[fit.model]) > _FEW_COUNTS:
            radius = float(bank.radii[fit.model])
            here, _ = self._overlap(fit.x, fit.y, int(np.ceil(OUTER_RADIUS * radius)))
            rows, columns = (np.arange(part.start, part.stop) for part in here)
            squared = (rows[:, None] - fit.y) ** 2 + (columns - fit.x) ** 2
            wings = beta_wings(squared, radius, bank.half + 1) * self.response[here]
            model[here] = np.maximum(model[here] + factor * fit.amplitude * wings, 0)
        if fit.core is not None:
            x, y, amplitude = fit.core
            self._add(model, bank, 0, x, y, factor * amplitude)

    def _add(self, model, bank, number, x, y, amplitude):
        here, there = self._overlap(x, y, 2 * self.half)
        template = bank.at(*_phases(bank, x, y))[number]
        # what is left of a sum taken away may be a rounding error below nothing
        added = model[here] + amplitude * template[there] * self.response[here]
        model[here] = np.maximum(added, 0)


def _phases(bank, x, y):
    return tuple(bank.phase(at - np.rint(at)) for at in (x, y))


def _grid_place(bank, x, y):
    """
    Return where the models nearest to a position are centred.
    """
    return tuple(
        float(np.rint(at) + phase * bank.step)
        for at, phase in zip((x, y), _phases(bank, x, y), strict=True)
    )


def _amplitude_error(radii, statistic, amplitude, error, best):
    """
    Return the error of an amplitude, that of an extended source with its radius left free.
    """
    if best == 0:
        return float(error[0])
    weight = np.exp((statistic - statistic[best]) / 2) * np.gradient(radii)
    weight[0] = 0
    spread = (weight * (amplitude - amplitude[best]) ** 2).sum() / weight.sum()
    return float(np.sqrt(error[best] ** 2 + spread))


def _refined_radius(radii, statistic, best):
    """
    Return the core radius at the top of a parabola through three models, and its error.
    """
    if len(statistic) == 1:
        return 0.0, float(radii[1] / 2)
    inside = radii[statistic > statistic[best] - 1.0]
    step = np.gradient(radii)[best]
    error = max((inside.max() - inside.min()) / 2, step / 2)
    radius = radii[best]
    if 1 < best < len(radii) - 1:
        place = np.log(radii[best - 1 : best + 2])
        curve, slope, _ = np.polyfit(place - place[1], statistic[best - 1 : best + 2], 2)
        if curve < 0:
            at = np.clip(-slope / (2 * curve), place[0] - place[1], place[2] - place[1])
            radius = float(np.exp(place[1] + at))
            # the statistic falls by one within a sigma
            error = max(radius / np.sqrt(-curve), 1e-3)
    return float(radius), float(error)


def _flags(image, x, y, ix, iy, radius, at_limit, amplitude, psf_pixels):
    """
    Return the quality bits of each source.
    """
    flags = np.full(len(x), image.flags, dtype=np.int32)
    valid = image.valid
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(valid, 12), iterations=8))
    filled = filled[12:-12, 12:-12]
    inside = ndimage.distance_transform_edt(np.pad(filled, 1))[1:-1, 1:-1]
    hole = filled & ~valid
    gap = ndimage.distance_transform_edt(~hole) if hole.any() else np.full(image.shape, np.inf)
    reach = np.maximum(2 * psf_pixels, radius)
    flags |= np.where(inside[iy, ix] < 2 * psf_pixels, int(CandidateFlag.EDGE), 0)
    flags |= np.where(gap[iy, ix] < reach, int(CandidateFlag.GAP), 0)
    peak = ndimage.maximum_filter(image.counts, 3)[iy, ix]
    flags |= np.where(peak > _SATURATED_COUNTS, int(CandidateFlag.SATURATED), 0)
    if image.exposure is None:
        flags |= int(CandidateFlag.NO_EXPOSURE)
    flags |= np.where(at_limit, int(CandidateFlag.EXTENT_AT_LIMIT), 0)
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(distance, np.inf)
    close = distance < reach[:, None] + reach
    flags |= np.where(close.any(axis=1), int(CandidateFlag.BLENDED), 0)
    bright = (distance < 6 * reach) & (amplitude > 30 * amplitude[:, None])
    flags |= np.where(bright.any(axis=1), int(CandidateFlag.NEAR_BRIGHT), 0)
    return flags
