# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which fits stand for one object.
"""

import dataclasses
import math

import numpy as np

from clustercnn.finding._starlet import scaling_kernel, smooth_at

__all__ = ['cores_of', 'flanks_of', 'merged', 'parts_of', 'without_cores']

# how well a beta model describes a source, relative to its brightness
_MODEL_DOUBT = 0.2
# sources further apart than so many core radii of the wider are not asked whether they are one
_FURTHEST = 12.0
# kernels as wide as a source: from the narrowest to the widest that are used
_SCALES = 2, 5
# sigma by which a bridge between two sources must be seen
_BRIDGE_SIGMA = 3.0
# and by which chance may lower it
_CHANCE_SIGMA = 2.0
# of the exposure of the less exposed of the two, so that a place between them tells anything
_LEAST_EXPOSURE = 0.3
# part of the image whose background no source raises, and by how much it differs elsewhere
_DARKEST, _RAISED = 0.05, 3.0


def _total(fit):
    """
    Return the counts of a source with those of what was taken for part of it.
    """
    return fit.counts + fit.merged


def cores_of(fits):
    """
    Return which extended sources lie in the core of which others, by their numbers.

    The bright core of a cluster is fitted on its own where one beta model is not enough, or
    its halo is. Of two of about the same size each must lie within the core of the other: they
    have but one peak together then. A point source in a cluster stays a source.
    """
    core_of, hosting = {}, set()
    place = np.array([(fit.x, fit.y) for fit in fits]).reshape(-1, 2)
    radius = np.array([fit.radius for fit in fits])
    for number in sorted(range(len(fits)), key=lambda number: fits[number].radius):
        fit = fits[number]
        if fit.radius <= 0:
            continue
        distance = np.hypot(*(place - place[number]).T)
        wide = radius > 1.5 * fit.radius
        reach = np.maximum(np.where(wide, radius, fit.radius), fit.fwhm)
        # no chains of clusters in a row
        near = (wide | (radius >= fit.radius) & (number not in hosting)) & (distance < reach)
        hosts = set(np.flatnonzero(near).tolist()) - {number, *core_of}
        if hosts:
            core_of[number] = max(hosts, key=lambda other: _total(fits[other]))
            hosting.add(core_of[number])
    return core_of


def parts_of(fits):
    """
    Return which extended sources brighter ones outshine where they are brightest, by numbers.

    Clusters near to us are no beta models: what the model of a large one leaves is fitted on its
    own. A part is what is not brighter than a source at the widest model there is, which does not
    describe it, or adds less than a fifth to one that is narrower. What has a point source in its
    middle, as a point source, stays a source.
    """
    extended = [number for number, fit in enumerate(fits) if fit.radius > 0]
    if len(extended) < 2:
        return {}
    some = [fits[number] for number in extended]
    place = np.array([(fit.x, fit.y) for fit in some])
    counts = np.array([_total(fit) for fit in some])
    # the width of a beta model behind the PSF; 2.3548 makes a sigma of an FWHM
    squared = np.array([fit.radius**2 + (fit.fwhm / 2.3548) ** 2 for fit in some])
    peak = np.array([fit.amplitude for fit in some]) / squared
    trust = peak * np.where([fit.at_limit for fit in some], 1.0, _MODEL_DOUBT)
    part_of = {}
    for number, fit in enumerate(some):
        distance = ((place - place[number]) ** 2).sum(axis=1)
        light = np.where(counts > counts[number], trust * (1 + distance / squared) ** -1.5, 0)
        if fit.core is None and light.sum() > peak[number]:
            part_of[extended[number]] = extended[int(np.argmax(light))]
    return part_of


def merged(fits, significance, belongs_to, reason, reasons, *, response=None):
    """
    Make one source of each group, the one with most counts, which takes those of the others.

    ``belongs_to`` gives the number of another source of the group. What was drawn of those that
    are left out stays drawn. How many these are is added to the reasons. If the exposure of the
    image is given, a source at the widest model, without a point source for its peak, stands in the
    middle of the light of its group. Returns the fits and the significance of each, the best
    of its group.
    """
    groups = {}
    for number in range(len(fits)):
        last = number
        while last in belongs_to:
            last = belongs_to[last]
        groups.setdefault(last, []).append(number)
    made = {}
    for group in groups.values():
        whole = max(group, key=lambda number: _total(fits[number]))
        parts = [fits[number] for number in group if number != whole]
        fit = fits[whole]
        if parts:
            errors = [[part.counts_err, part.merged_err] for part in parts]
            fit = dataclasses.replace(
                fit,
                merged=fit.merged + sum(_total(part) for part in parts),
                merged_err=float(np.linalg.norm([fit.merged_err, *np.ravel(errors)])),
            )
            if response is not None and fit.at_limit and fit.core is None:
                fit = _in_middle(fit, [fits[whole], *parts], response)
        made[whole] = fit, significance[group].max()
    if len(made) < len(fits):
        reasons[reason] = reasons.get(reason, 0) + len(fits) - len(made)
    kept = sorted(made)
    best = np.array([made[number][1] for number in kept])
    return [made[number][0] for number in kept], best


def _in_middle(fit, parts, response):
    """
    Return a fit moved to where the mean of its parts is, by their counts and their brightness:
    where one of them is the peak, it is there.
    """
    weight = np.array([_total(part) * part.amplitude / part.radius**2 for part in parts])
    weight /= weight.sum()
    place = np.array([(part.x, part.y) for part in parts])
    middle = weight @ place
    squared = ((place - middle) ** 2).sum(axis=1)
    # as if the parts had been drawn by chance, each of its own error
    error = math.sqrt(weight**2 @ (squared / 2 + np.square([part.pos_err for part in parts])))
    x, y = middle.tolist()
    if not response[round(y), round(x)] > 0:
        return fit
    spread = math.sqrt(weight @ squared)
    return dataclasses.replace(fit, x=x, y=y, pos_err=error, spread=spread)


def flanks_of(fits, fitter, counts, background):
    """
    Return which extended sources have no peak of their own beside a brighter one, by numbers.

    Clusters that span the field are wider than any model, and no beta models either: several
    describe them together. Two are one object if the light on the straight line between them,
    smoothed as widely as the fainter is, without point sources, is seen all along and falls nowhere
    below that of the fainter by more than a fifth, which is what beta models are right to. Asked
    only where one of the two is at the widest model there is: two that their models describe are
    two.

    Parameters
    ----------
    fits : list of SourceFit
        The sources.
    fitter : SourceFitter
        That made them.
    counts, background : 2D `~numpy.ndarray`
        Of the image, the background without any source.

    Returns
    -------
    part_of : dict of int to int
        The number of the brightest source of which each of these is a part.
    """
    extended = [number for number, fit in enumerate(fits) if fit.radius > 0]
    if len(extended) < 2 or not any(fits[number].at_limit for number in extended):
        return {}
    extended.sort(key=lambda number: -_total(fits[number]))
    light = _Light(fits, fitter, counts, background)
    part_of = {}
    for place, number in enumerate(extended):
        fit = fits[number]
        for other in extended[:place]:
            host = fits[other]
            apart = math.hypot(host.x - fit.x, host.y - fit.y)
            reach = _FURTHEST * max(fit.radius, host.radius)
            if (fit.at_limit or host.at_limit) and apart < reach and light.joins(fit, host):
                part_of[number] = other
                break
    return part_of


def without_cores(fits, significance, numbers, fitter, counts, rest):
    """
    Make sources of their own of what stands in the middle of some extended ones.

    Parameters
    ----------
    fits : list of SourceFit
        The sources.
    significance : 1D `~numpy.ndarray`
        Of each.
    numbers : iterable of int
        The extended ones.
    fitter : SourceFitter
        That made them.
    counts : 2D `~numpy.ndarray`
        Of the image.
    rest : Expected
        Background and models of all sources; what stands in the middle is fitted and drawn again,
        and may be extended, since the point source was only what goes best with the other.

    Returns
    -------
    fits : list of SourceFit
        As many as before, then the new ones.
    significance : 1D `~numpy.ndarray`
        Of each, a new one having that of the source it was in.
    """
    fits, parents = list(fits), list(range(len(fits)))
    for number in numbers:
        fit = fits[number]
        if fit.core is None:
            continue
        x, y, _ = fit.core
        alone = dataclasses.replace(
            fit, core=None, counts=fit.counts - fit.core_counts, core_counts=0.0
        )
        fitter.paint(rest.model, fit, factor=-1)
        fitter.paint(rest.model, alone)
        own = fitter.fit(counts, rest, x, y)
        if own.at_limit:
            own = fitter.fit(counts, rest, x, y, point_only=True)
        fitter.paint(rest.model, own)
        fits[number] = alone
        fits.append(own)
        parents.append(number)
    return fits, significance[parents]


class _Light:
    """
    The light of an image without its point sources and its background.

    Parameters
    ----------
    fits, fitter, counts, background
        As for `flanks_of`.
    """

    def __init__(self, fits, fitter, counts, background):
        self.counts = counts
        self.response = fitter.response
        self.points = np.zeros(counts.shape, np.float32)
        for fit in fits:
            if fit.radius <= 0:
                fitter.paint(self.points, fit)
            elif fit.core is not None:
                x, y, amplitude = fit.core
                point = dataclasses.replace(fit, model=0, x=x, y=y, amplitude=amplitude, core=None)
                fitter.paint(self.points, point)
        # some rows of a mosaic tell as much as all of them
        rows = slice(None, None, max(1, counts.size // 1_000_000))
        seen = self.response[rows] > _LEAST_EXPOSURE * self.response.max()
        level = background[rows][seen] / self.response[rows][seen]
        self.dark = float(np.quantile(level, _DARKEST)) if level.size else 0.0
        self.background = background

    def joins(self, faint, bright):
        """
        Return whether light leads from a source to a brighter one without a dip.
        """
        scale = int(np.clip(round(math.log2(max(faint.radius, 1.0))), *_SCALES))
        kernel = scaling_kernel(scale)
        n_steps = math.ceil(math.hypot(bright.x - faint.x, bright.y - faint.y) / 2 ** (scale - 1))
        way = np.linspace(0, 1, n_steps + 1)
        x, y = (
            np.rint(start + (end - start) * way).astype(int)
            for start, end in ((faint.x, bright.x), (faint.y, bright.y))
        )
        margin = len(kernel) // 2
        top, left = max(y.min() - margin, 0), max(x.min() - margin, 0)
        here = slice(top, y.max() + margin + 1), slice(left, x.max() + margin + 1)
        made, exposed, dark = (
            smooth_at(plane, scale, x - left, y - top)
            for plane in (
                self.counts[here] - self.points[here],
                self.response[here],
                self.background[here],
            )
        )
        # nothing is known of what lies beyond a gap that is wider than the kernel
        if not (exposed > _LEAST_EXPOSURE * min(exposed[0], exposed[-1])).all():
            return False
        rate, dark = made / exposed, dark / exposed
        # of counts behind the kernel, along both axes
        error = np.sqrt(np.maximum(rate, 0) / exposed) * (kernel**2).sum()
        # the background under what spans the field was raised by it; one that differs by less from
        # place to place does so by itself, as where no exposure map tells of the vignetting
        light = rate - np.minimum(dark, _RAISED * self.dark)
        bridge = light > _BRIDGE_SIGMA * error
        chance = _CHANCE_SIGMA * error
        return bool((bridge & (light + chance > (1 - _MODEL_DOUBT) * light[0])).all())
