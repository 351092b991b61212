# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The finder and its parts against scipy, PyWavelets and sep::

    python benchmarks/bench_find.py [--json FILE] [--rounds 3]

The field is simulated here: 648 x 648 pixels of 4 arcsec with about a hundred sources. Both sides
run in turn, in one process on all cores it may use; the best of the rounds counts. First calls,
which compile or fill caches, are timed apart. Processor time is told as well: other programs
disturb it less. A peer that is not installed is named, and
not compared with. ``OPENBLAS_NUM_THREADS=1`` before the command keeps threads of the peers' linear
algebra from waiting in busy loops, which beside other programs takes them several times as long.
"""

import argparse
import importlib
import json
import os
import time

import astropy.units as u
import numpy as np
from scipy import fft, ndimage, optimize, signal

from clustercnn import WaveletFinder, XrayImage
from clustercnn.finding import characterise
from clustercnn.finding._starlet import poisson_sigma, starlet_transform
from clustercnn.finding.background import BackgroundEstimator
from clustercnn.testing import tiny_wcs

PIXEL, FWHM, SLOPE = 4.0, 8.0, 1.5  # arcsec, arcsec, King profile of XMM-Newton EPIC
CORE = 0.5 * FWHM / PIXEL / np.sqrt(2 ** (1 / SLOPE) - 1)
N_SCALES = 6
HALF = 38  # of the stamp that our fit of a source looks at, too


def king(shape, x, y, *, core=CORE, slope=SLOPE):
    """
    Return a King profile, or with a slope of 3/2 the beta model of 2/3, of sum 1.
    """
    rows, columns = np.indices(shape)
    profile = (1 + ((columns - x) ** 2 + (rows - y) ** 2) / core**2) ** -slope
    return profile / profile.sum()


def make_field(size, n_sources, *, seed=1):
    """
    Return an image of point sources and beta models on a flat, vignetted background.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    relative = 1 / (1 + (rows**2 + columns**2) / (0.6 * size) ** 2)
    expected = np.zeros((size, size))
    psf = king((2 * HALF + 1, 2 * HALF + 1), HALF, HALF)
    for number in range(n_sources):
        x, y = rng.uniform(20, size - 20, 2)
        # few are bright, as on the sky
        counts = 40 * rng.uniform(0.005, 1) ** (-1 / 1.3)
        left, low = round(x) - HALF, round(y) - HALF
        source = king(psf.shape, x - left, y - low)
        if number % 6 == 0:
            source = king(psf.shape, x - left, y - low, core=rng.uniform(2, 8))
            source = signal.fftconvolve(source, psf, mode='same')
        here = slice(max(low, 0), low + 2 * HALF + 1), slice(max(left, 0), left + 2 * HALF + 1)
        part = expected[here]
        offset = here[0].start - low, here[1].start - left
        there = tuple(slice(o, o + n) for o, n in zip(offset, part.shape, strict=True))
        part += counts * source[there]
    expected = (expected + 0.1) * relative
    return XrayImage(
        counts=rng.poisson(expected).astype(np.float32),
        wcs=tiny_wcs(shape=(size, size), pixel_scale=PIXEL),
        exposure=(3e4 * relative).astype(np.float32),
        psf_fwhm=FWHM * u.arcsec,
    )


def scipy_starlet(image):
    """
    Return the planes by `scipy.ndimage.convolve1d`.
    """
    planes, current = [], image
    for level in range(N_SCALES):
        kernel = np.zeros(4 * 2**level + 1)
        kernel[:: 2**level] = np.array([1, 4, 6, 4, 1]) / 16
        following = ndimage.convolve1d(current, kernel, axis=0, mode='mirror')
        following = ndimage.convolve1d(following, kernel, axis=1, mode='mirror')
        planes.append(current - following)
        current = following
    return np.stack([*planes, current])


def jax_starlet():
    """
    Return a compiled function that does the same by shifted sums of a padded image.
    """
    import jax
    from jax import numpy as jnp

    def smooth(image, step, axis):
        padding = [(0, 0), (0, 0)]
        padding[axis] = 2 * step, 2 * step
        padded = jnp.pad(image, padding, mode='reflect')
        first, second, third, fourth, fifth = (
            jax.lax.dynamic_slice_in_dim(padded, k * step, image.shape[axis], axis)
            for k in range(5)
        )
        return (first + fifth + 4 * (second + fourth) + 6 * third) / 16

    @jax.jit
    def transform(image):
        planes = []
        for level in range(N_SCALES):
            following = smooth(smooth(image, 2**level, 0), 2**level, 1)
            planes.append(image - following)
            image = following
        return jnp.stack([*planes, image])

    return lambda image: np.asarray(transform(image))


def scipy_sigma(counts, background):
    """
    Return Gaussian significances at scales 1 to 5 by `scipy.ndimage.convolve1d`.

    The least that has to be done; the Poisson tail, which ours adds, is left out.
    """
    found = []
    for scale in range(1, 6):
        kernel = np.ones(1)
        for level in range(scale):
            dilated = np.zeros(4 * 2**level + 1)
            dilated[:: 2**level] = np.array([1, 4, 6, 4, 1]) / 16
            kernel = np.convolve(kernel, dilated)
        planes = []
        for image, power in ((counts - background, 1), (background, 2)):
            rows = ndimage.convolve1d(image, kernel**power, axis=0, mode='constant')
            planes.append(ndimage.convolve1d(rows, kernel**power, axis=1, mode='constant'))
        found.append(planes[0] / np.sqrt(planes[1]))
    return found


class PeerFit:
    """
    The fit of one beta model under a PSF by `scipy.optimize.minimize`.

    Cash's statistic in position, amplitude and core radius; the model is convolved by FFT at each
    evaluation.

    Parameters
    ----------
    counts, background, response : 2D `~numpy.ndarray`
        The image, what is expected without sources, and the relative exposure.
    """

    def __init__(self, counts, background, response):
        self.planes = counts, background, response
        self.side = fft.next_fast_len(4 * HALF + 1, real=True)
        psf = king((2 * HALF + 1, 2 * HALF + 1), HALF, HALF)
        self.psf = fft.rfft2(psf, (self.side, self.side))

    def __call__(self, x, y):
        """
        Return the result of the fit that starts at a position.
        """
        left, low = round(x) - HALF, round(y) - HALF
        here = slice(max(low, 0), low + 2 * HALF + 1), slice(max(left, 0), left + 2 * HALF + 1)
        counts, background, response = (plane[here] for plane in self.planes)
        rows, columns = np.ogrid[: counts.shape[0], : counts.shape[1]]
        there = slice(HALF, HALF + counts.shape[0]), slice(HALF, HALF + counts.shape[1])

        def cash(parameters):
            x, y, amplitude, core = parameters
            core = np.exp(core)
            beta = (1 + ((columns - x) ** 2 + (rows - y) ** 2) / core**2) ** -1.5
            beta /= 2 * np.pi * core**2
            model = fft.irfft2(
                fft.rfft2(beta, (self.side, self.side)) * self.psf, (self.side, self.side)
            )[there]
            model = background + np.exp(amplitude) * np.maximum(model, 0) * response
            model = np.maximum(model, 1e-9)
            return 2 * (model - counts * np.log(model)).sum()

        first = x - here[1].start, y - here[0].start
        excess = max((counts - background).sum(), 10.0)
        return optimize.minimize(
            cash,
            [*first, np.log(excess), 0.0],
            method='L-BFGS-B',
            bounds=[*((at - 5, at + 5) for at in first), (0, 15), (-1.5, 3.4)],
        )


def timed(function):
    """
    Return the seconds that a call takes, and those of all processors.
    """
    started, busy = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - started, time.process_time() - busy


def compare(case, ours, peer, *, amount, unit, n_rounds, peer_name=None, peer_amount=None):
    """
    Time both sides in turn and return a row of the table.

    ``amount`` is the work of a call in the unit without its ``/s``.
    """
    first, _ = timed(ours)
    peer_first = None if peer is None else timed(peer)[0]
    seconds, peer_seconds = [], []
    for _ in range(n_rounds):
        seconds.append(timed(ours))
        if peer is not None:
            peer_seconds.append(timed(peer))
    best, busy = np.min(seconds, axis=0).tolist()
    row = {
        'case': case,
        'ours': round(amount / best, 2),
        'peer_name': peer_name,
        'peer': None,
        'ratio': None,
        'processor_ratio': None,
        'unit': unit,
        'ours_s': round(best, 4),
        'ours_processor_s': round(busy, 4),
        'first_call_s': round(first, 4),
        'peer_first_call_s': peer_first and round(peer_first, 4),
    }
    if peer is not None:
        peer_best, peer_busy = np.min(peer_seconds, axis=0).tolist()
        share = (peer_amount or amount) / amount
        row['peer'] = round(share * amount / peer_best, 2)
        row['ratio'] = round(peer_best / best / share, 4)
        row['processor_ratio'] = round(peer_busy / busy / share, 4)
    return row


def optional(name, package):
    """
    Return a peer's module, or None after saying that it is missing.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{package} is not installed, so not compared; pip install 'clustercnn[bench]'")
        return None


def transform_rows(n_rounds):
    """
    Return the rows of the transform.
    """
    rows = []
    pywt = optional('pywt', 'PyWavelets')
    for dtype in (np.float32, np.float64):
        image = np.random.default_rng(1).poisson(1.0, (2048, 2048)).astype(dtype)
        ours = starlet_transform(image, N_SCALES)
        difference = float(np.abs(ours - scipy_starlet(image.astype(np.float64))).max())
        peers = {'scipy.ndimage.convolve1d': lambda image=image: scipy_starlet(image)}
        if pywt is not None:
            # the shortest filter there is
            peers['PyWavelets swt2, haar'] = lambda image=image: pywt.swt2(
                image, 'haar', N_SCALES, trim_approx=True
            )
        if dtype is np.float32:
            compiled = jax_starlet()
            peers['JAX, compiled'] = lambda image=image, compiled=compiled: compiled(image)
        for name, peer in peers.items():
            row = compare(
                f'starlet, {N_SCALES} scales, 2048 x 2048 {np.dtype(dtype)}',
                lambda image=image: starlet_transform(image, N_SCALES),
                peer,
                peer_name=name,
                amount=image.size / 1e6,
                unit='Mpixel/s',
                n_rounds=n_rounds,
            )
            rows.append(row | {'largest_difference': difference})
    return rows


def sigma_rows(view, n_rounds):
    """
    Return the rows of the significances at five scales.
    """
    rows = []
    for dtype in (np.float32, np.float64):
        counts, background = view.counts.astype(dtype), view.background.astype(dtype)
        for floor in (0.0, 3.0):
            row = compare(
                f'Poisson sigma, scales 1-5, {np.dtype(dtype)}, floor {floor:g}',
                lambda c=counts, b=background, floor=floor: [
                    poisson_sigma(c, b, scale, floor=floor) for scale in range(1, 6)
                ],
                lambda c=counts, b=background: scipy_sigma(c, b),
                peer_name='scipy.ndimage, Gaussian only',
                amount=1,
                unit='fields/s',
                n_rounds=n_rounds,
            )
            rows.append(row)
    return rows


def detection_rows(image, finder, view, n_rounds):
    """
    Return the rows of what the detection consists of.
    """
    estimator = BackgroundEstimator(image, psf_pixels=view.pixels)
    parts = {
        'what the exposure map tells': lambda: BackgroundEstimator(image, psf_pixels=view.pixels),
        'background, with rounds of masking': estimator.first,
        'significance at four scales, peaks': lambda: finder._peaks(image, view, 5.0),  # noqa: SLF001
    }
    return [
        compare(f'of these: {case}', part, None, amount=1, unit='fields/s', n_rounds=n_rounds)
        for case, part in parts.items()
    ]


def finder_rows(n_rounds):
    """
    Return the rows of the finder and its parts.
    """
    image = make_field(648, 100)
    finder = WaveletFinder()
    found, rows = [], []
    # as XMM-Newton the PSF is taken to grow off axis, where that of the field does not: most
    # sources are then compared with pairs and halos
    for case, one in (('', image), (', as XMM-Newton', image.replace(mission='XMM'))):
        whole = compare(
            f'WaveletFinder, all in, 648 x 648{case}',
            lambda one=one: found.append(len(finder(one))),
            None,
            amount=1,
            unit='fields/s',
            n_rounds=n_rounds,
        )
        rows.append(whole | {'n_sources': found[-1]})

    def detect():
        view = finder.view(image)
        threshold = finder.threshold_for(image, view, finder.n_scales)
        # the finder's own step, which is not offered on its own
        return view, finder._peaks(image, view, threshold)[0]  # noqa: SLF001

    view, _ = detect()
    catalog = finder(image)
    x, y, sigma = (np.array(catalog[name], float) for name in ('x', 'y', 'significance'))
    sep = optional('sep', 'sep')
    data = np.array(image.counts, np.float32)

    def sep_detect():
        sky = sep.Background(data)
        return sep.extract(data - sky.back(), 3.0, err=sky.globalrms)

    row = compare(
        'background and detection, 648 x 648',
        detect,
        None if sep is None else sep_detect,
        peer_name=None if sep is None else 'sep background, extract',
        amount=1,
        unit='fields/s',
        n_rounds=n_rounds,
    )
    rows.append(row | {'n_detections': len(x)})
    rows += detection_rows(image, finder, view, n_rounds)
    rows += sigma_rows(view, n_rounds)
    response = np.asarray(image.exposure / image.exposure.max(), np.float64)
    fit = PeerFit(view.counts, view.background, response)
    chosen = range(0, len(x), max(len(x) // 20, 1))
    row = compare(
        'characterisation of the detections',
        lambda: characterise(image, x, y, sigma, view.background, psf_fwhm=view.fwhm),
        lambda: [fit(x[number], y[number]) for number in chosen],
        peer_name='scipy.optimize, one beta model',
        amount=len(x),
        peer_amount=len(chosen),
        unit='sources/s',
        n_rounds=n_rounds,
    )
    rows.append(row)
    return rows


def main():
    """
    Run the command.
    """
    parser = argparse.ArgumentParser(description=__doc__.split('::')[0])
    parser.add_argument('--json', metavar='FILE', help='write the rows there as well')
    parser.add_argument('--rounds', type=int, default=3)
    options = parser.parse_args()
    affinity = getattr(os, 'sched_getaffinity', None)
    n_cores = len(affinity(0)) if affinity else os.cpu_count()
    print(f'on {n_cores} cores')
    rows = finder_rows(options.rounds) + transform_rows(options.rounds)
    print(f'{"case":44} {"ours":>9} {"peer":>9} {"ratio":>7} {"cpu":>7}  unit; first calls')
    for row in rows:
        peer, ratio, processor = (
            '-' if row[name] is None else f'{row[name]:.3g}'
            for name in ('peer', 'ratio', 'processor_ratio')
        )
        named = f' ({row["peer_name"]})' if row['peer_name'] else ''
        first = f'{row["first_call_s"]:.2f} s'
        if row['peer_first_call_s'] is not None:
            first += f', {row["peer_first_call_s"]:.2f} s'
        print(
            f'{row["case"]:44} {row["ours"]:9.3g} {peer:>9} {ratio:>7} {processor:>7}  '
            f'{row["unit"]}{named}; {first}'
        )
    if options.json:
        blas = os.environ.get('OPENBLAS_NUM_THREADS')
        made = {'stage': 'find', 'n_cores': n_cores, 'openblas_num_threads': blas, 'rows': rows}
        with open(options.json, 'w', encoding='utf-8') as stream:
            json.dump(made, stream, indent=2)


if __name__ == '__main__':
    main()
