# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
One simulated field: an X-ray image, an optical image, and the truth.
"""

import dataclasses
import json
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable
from astropy.wcs import WCS

from clustercnn._utils.files import atomic_path
from clustercnn._utils.frozen import ReadOnlyDict
from clustercnn._utils.summary import html_summary, text_summary
from clustercnn._utils.validation import lock
from clustercnn.core import XrayImage
from clustercnn.exceptions import ImageReadError
from clustercnn.simulate import _sky
from clustercnn.simulate._field_files import read_optical, write_image, write_optical
from clustercnn.simulate._matching import match_detections
from clustercnn.simulate._multiband import simulate_optical_bands
from clustercnn.simulate._sources import CLASS_NAMES
from clustercnn.simulate._wcs import offsets_to_sky, tangent_header
from clustercnn.simulate.config import SimulationConfig
from clustercnn.simulate.missions import get_mission
from clustercnn.simulate.optical import simulate_optical

__all__ = ['PhotonOrigin', 'SimulatedField', 'simulate_field']

FORMAT_VERSION = 1
_ENERGY_BAND = (0.5 * u.keV, 2.0 * u.keV)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PhotonOrigin:
    """
    Which source sent the photons of which pixel.

    Entry ``i`` says that ``n[i]`` photons of source ``source_id[i]`` fell on
    the pixel with flat index ``pixel[i]``. What a pixel holds beyond its
    entries is background.

    Parameters
    ----------
    source_id, pixel, n : (n_entries,) `~numpy.ndarray` of int32
        Sorted by source, then by pixel.

    Examples
    --------
    >>> from clustercnn.simulate import PhotonOrigin
    >>> origin = PhotonOrigin(source_id=[1, 1, 2], pixel=[0, 5, 5], n=[3, 1, 2])
    >>> origin.image([1], (2, 3)).tolist()
    [[3.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """

    source_id: np.ndarray
    pixel: np.ndarray
    n: np.ndarray

    def __post_init__(self):
        for name in ('source_id', 'pixel', 'n'):
            object.__setattr__(self, name, lock(np.asarray(getattr(self, name), np.int32)))

    def image(self, source_ids, shape):
        """
        Return the counts image of some sources alone.

        Parameters
        ----------
        source_ids : int or sequence of int
            Numbers of the truth catalogue.
        shape : tuple of int
            Shape of the X-ray image.

        Returns
        -------
        counts : (ny, nx) `~numpy.ndarray` of float32
            Their photons.
        """
        chosen = np.isin(self.source_id, source_ids)
        flat = np.bincount(self.pixel[chosen], self.n[chosen], minlength=shape[0] * shape[1])
        return flat.reshape(shape).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SimulatedField:
    """
    A simulated field with its truth.

    Parameters
    ----------
    xray : `~clustercnn.core.XrayImage`
        Counts, with exposure and background maps as configured.
    optical : `~astropy.nddata.CCDData` or None
        Plate or CCD image in adu; None if there is none or there are several bands.
    truth : `~astropy.table.QTable`
        One row a source: id, parent (id of the cluster it belongs to or falls
        into, or of the source that makes the streak; 0 for none), ra, dec, class,
        subclass, flux, n_expected, n_counts, n_lost (photons that piled up on others
        and make no event of their own), core_radius, and more. ``angle`` is the direction of the
        major axis, for streaks and hot columns that in which they run, from west to north.
        ``n_expected`` of groups is at most 300,000, whatever their flux.
    origin : `PhotonOrigin`
        Source of every photon.
    background : (ny, nx) `~numpy.ndarray` of float32
        Expected background counts, known to the simulator.
    exposure : (ny, nx) `~numpy.ndarray` of float32
        Vignetted exposure in s, known to the simulator.
    config : `SimulationConfig`
        Settings.
    seed : int
        Seed.
    psf_half_energy_width : float
        On axis, in arcsec.
    optical_bands : dict of str to `~astropy.nddata.CCDData`
        CCD images by band in nanomaggies, where the settings ask for several.

    Examples
    --------
    >>> from clustercnn.simulate import SimulationConfig, simulate_field
    >>> field = simulate_field(seed=2, config=SimulationConfig(optical=None))
    >>> sources = field.origin.image(field.truth['id'], field.xray.shape)
    >>> bool((field.xray.counts >= sources).all())
    True
    """

    xray: XrayImage
    optical: CCDData | None
    truth: QTable
    origin: PhotonOrigin
    background: np.ndarray
    exposure: np.ndarray
    config: SimulationConfig
    seed: int
    psf_half_energy_width: float
    optical_bands: ReadOnlyDict = dataclasses.field(default_factory=ReadOnlyDict)

    def __post_init__(self):
        object.__setattr__(self, 'optical_bands', ReadOnlyDict(self.optical_bands))

    @property
    def images(self):
        """
        The images by band name, as the cutout maker takes them (dict).
        """
        return {'xray': self.xray, **self._optical_images()}

    def _optical_images(self):
        plain = {} if self.optical is None else {'optical': self.optical}
        return {**plain, **self.optical_bands}

    def match(self, catalog, *, radius=None, cluster_share=0.5):
        """
        Label detections by the origin of the photons they stand on.

        Photons are counted in a circle about each detection. If fewer than
        three of them, or fewer than twice the root of the background photons,
        come from sources, the detection is ``other`` (``spurious``). If
        clusters give at least ``cluster_share`` of the source photons it is
        ``cluster``, else it has the class of the source that gives most: by
        default a detection is what sent most of its photons (Liu et al. 2022,
        A&A 661, A27; Seppi et al. 2022, A&A 665, A78). Where the other class
        gives a fifth or more, the sub-class says so: ``cluster+AGN``, or
        ``AGN+cluster`` for a nucleus that outshines its cluster.
        A detection far from the centre of a source that another detection
        stands on with more photons is ``other`` (``fragment``).

        Parameters
        ----------
        catalog : `~clustercnn.core.CandidateCatalog`
            Detections in the X-ray image of this field.
        radius : `~astropy.units.Quantity`, optional
            Radius of the circle; by default 0.9 half-energy widths of the
            point spread, or 1.5 times the extent of the detection where that
            is larger, at most 90 arcsec.
        cluster_share : float, optional
            Share of cluster photons from which a detection is a cluster, also
            with an active nucleus in it.

        Returns
        -------
        matches : `~astropy.table.QTable`
            In the order of the catalogue: id, source_id (0 for none), class,
            subclass, n_counts (photons of that source), n_source (of all
            sources), n_background, radius, separation, primary.

        Examples
        --------
        >>> from clustercnn.core import CandidateCatalog
        >>> from clustercnn.simulate import SimulationConfig, simulate_field
        >>> config = SimulationConfig(target='cluster', optical=None)
        >>> field = simulate_field(seed=6, config=config)
        >>> target = field.truth[:1]
        >>> catalog = CandidateCatalog.from_columns(ra=target['ra'], dec=target['dec'])
        >>> field.match(catalog)['class'].tolist()
        ['cluster']
        """
        return match_detections(self, catalog, radius=radius, cluster_share=cluster_share)

    def write(self, path, *, overwrite=False):
        """
        Write the field as a folder.

        The folder holds ``xray.fits``, ``exposure.fits``, ``background.fits``,
        ``optical.fits`` or ``optical_g.fits`` and so on, ``truth.ecsv``, ``origin.npz``, and last
        ``field.json``: a folder without it is incomplete.

        Parameters
        ----------
        path : str or path-like
            The folder; created if it does not exist.
        overwrite : bool, optional
            Whether files of another field in it may be replaced.

        Raises
        ------
        FileExistsError
            If the folder holds a field and ``overwrite`` is False.
        """
        folder = Path(path)
        if (folder / 'field.json').exists() and not overwrite:
            msg = (
                f'{folder}: holds a field already; choose another folder, or overwrite it '
                f'(--overwrite, overwrite=True)'
            )
            raise FileExistsError(msg)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'field.json').unlink(missing_ok=True)
        header = self._header()
        write_image(folder / 'xray.fits', self.xray.counts, header, 'ct')
        write_image(folder / 'exposure.fits', self.exposure, header, 's')
        write_image(folder / 'background.fits', self.background, header, 'ct')
        write_optical(folder, self._optical_images())
        with atomic_path(folder / 'truth.ecsv', overwrite=True) as temporary:
            self.truth.write(temporary, format='ascii.ecsv')
        with atomic_path(folder / 'origin.npz', overwrite=True) as temporary:
            origin = self.origin
            np.savez_compressed(
                temporary, source_id=origin.source_id, pixel=origin.pixel, n=origin.n
            )
        facts = {
            'format': FORMAT_VERSION,
            'simulated': True,
            'seed': self.seed,
            'mission': self.xray.mission,
            'instrument': self.xray.instrument,
            'psf_fwhm': float(self.xray.psf_fwhm.value),
            'psf_half_energy_width': self.psf_half_energy_width,
            'config': self.config.to_dict(),
        }
        with atomic_path(folder / 'field.json', overwrite=True) as temporary:
            temporary.write_text(json.dumps(facts, indent=1) + '\n')

    @classmethod
    def read(cls, path):
        """
        Read a field that `write` wrote.

        Parameters
        ----------
        path : str or path-like
            The folder.

        Returns
        -------
        field : `SimulatedField`
            The same field.

        Raises
        ------
        ImageReadError
            If the folder is not a complete field.
        """
        folder = Path(path)
        try:
            facts = json.loads((folder / 'field.json').read_text())
            config = SimulationConfig.from_dict(facts['config'])
            counts, header = fits.getdata(folder / 'xray.fits', header=True)
            exposure = fits.getdata(folder / 'exposure.fits')
            background = fits.getdata(folder / 'background.fits')
            optical, bands = None, {}
            if config.optical_bands is not None:
                names = [band.name for band in config.optical_bands]
                bands = {name: read_optical(folder, name) for name in names}
            elif config.optical is not None:
                optical = read_optical(folder, 'optical')
            truth = QTable.read(folder / 'truth.ecsv', format='ascii.ecsv')
            with np.load(folder / 'origin.npz', allow_pickle=False) as arrays:
                origin = PhotonOrigin(**{name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f'is not a complete simulated field ({error}); simulate it again'
            raise ImageReadError(folder, reason) from error
        exposure = lock(exposure.astype(np.float32))
        background = lock(background.astype(np.float32))
        xray = XrayImage(
            counts=counts.astype(np.float32),
            wcs=WCS(header),
            exposure=exposure if config.exposure_map else None,
            background=background if config.background_map else None,
            psf_fwhm=facts['psf_fwhm'] * u.arcsec,
            energy_band=_ENERGY_BAND,
            mission=facts['mission'],
            instrument=facts['instrument'],
            meta={'notes': ['simulated'], 'seed': facts['seed']},
        )
        return cls(
            xray=xray,
            optical=optical,
            optical_bands=bands,
            truth=truth,
            origin=origin,
            background=background,
            exposure=exposure,
            config=config,
            seed=facts['seed'],
            psf_half_energy_width=facts['psf_half_energy_width'],
        )

    def _header(self):
        header = self.xray.wcs.to_header()
        header['TELESCOP'] = (self.xray.mission, 'simulated')
        header['INSTRUME'] = (self.xray.instrument, 'cameras summed')
        header['EXPOSURE'] = (float(self.exposure.max()), '[s] on-axis exposure')
        header['ENERGYLO'] = (0.5, '[keV]')
        header['ENERGYHI'] = (2.0, '[keV]')
        header['CREATOR'] = ('clustercnn.simulate', 'SIMULATED, not an observation')
        header['SIMSEED'] = (self.seed, 'seed of the simulation')
        return header

    def _facts(self):
        classes = [str(name) for name in self.truth['class'][self.truth['n_counts'] >= 10]]
        listing = ', '.join(f'{classes.count(name)} {name}' for name in CLASS_NAMES)
        images = self._optical_images()
        shape = next(iter(images.values())).shape if images else None
        seen = f'{self.config.optical} {" ".join(self.optical_bands)}'.strip()
        return [
            ('mission', f'{self.xray.mission} {self.xray.instrument} (simulated)'),
            ('seed', self.seed),
            ('X-ray', f'{self.xray.shape[1]} x {self.xray.shape[0]}, {self.xray.n_counts:.0f} ct'),
            ('exposure', f'{self.exposure.max():.4g} s'),
            ('optical', f'{seen}, {shape}' if images else 'none'),
            ('sources with 10 counts', listing),
        ]

    def __repr__(self):
        return text_summary(type(self).__name__, self._facts())

    def _repr_html_(self):
        return html_summary(type(self).__name__, self._facts())


def simulate_field(*, seed, mission='xmm', config=None):
    """
    Simulate one field of the X-ray and optical sky.

    Parameters
    ----------
    seed : int
        Same seed and configuration, same bits.
    mission : str or `Mission`, optional
        Telescope: ``xmm``, ``erosita``, ``erosita-pointed``, ``chandra``,
        ``rosat``, ``ep``.
    config : `SimulationConfig`, optional
        Settings; by default the usual ones of the mission.

    Returns
    -------
    field : `SimulatedField`
        Images, truth and the origin of every photon.

    Raises
    ------
    ValueError
        If the mission or a camera is not known.

    Examples
    --------
    >>> from clustercnn.simulate import SimulationConfig, simulate_field
    >>> field = simulate_field(seed=1, config=SimulationConfig(optical=None))
    >>> field.xray.mission, field.xray.shape, field.truth['flux'].unit
    ('XMM', (495, 495), Unit("erg / (s cm2)"))
    """
    seed = int(seed)
    mission = get_mission(mission)
    config = SimulationConfig() if config is None else config
    streams = _sky.FieldStreams(seed)
    sky = _sky.draw_sky(mission, config, streams)
    position, observation, rows = sky.position, sky.observation, sky.sources.sources()
    counts, packed, n_lost = _sky.take_photons(sky, config, streams)
    origin = PhotonOrigin(source_id=packed[0], pixel=packed[1], n=packed[2])
    optical, bands = None, {}
    seen = {
        'config': config,
        'position': position,
        'field': mission.field,
        'latitude': sky.latitude,
        'rng': streams.plate,
        'bright_stars': sky.stars,
        'depth': sky.depth,
    }
    if config.optical_bands is not None:
        bands = simulate_optical_bands(rows, **seen, colours=streams.colours)
    elif config.optical is not None:
        optical = simulate_optical(rows, **seen)
    wcs, _ = tangent_header(position, observation.center, observation.pixel)
    exposure, background = lock(observation.exposure), lock(observation.background)
    xray = XrayImage(
        counts=counts,
        wcs=wcs,
        exposure=exposure if config.exposure_map else None,
        background=background if config.background_map else None,
        psf_fwhm=round(observation.psf.fwhm * config.psf_stated_factor, 6) * u.arcsec,
        energy_band=_ENERGY_BAND,
        mission=mission.telescope,
        instrument=observation.instrument,
        meta={'notes': ['simulated'], 'seed': seed},
    )
    return SimulatedField(
        xray=xray,
        optical=optical,
        optical_bands=bands,
        truth=_sky.truth_table(
            rows,
            origin,
            n_lost,
            sky=offsets_to_sky(position, rows['x'], rows['y']),
            pixels=(
                rows['x'] / observation.pixel + observation.center[0],
                rows['y'] / observation.pixel + observation.center[1],
            ),
            mission=mission.name,
            seed=seed,
        ),
        origin=origin,
        background=background,
        exposure=exposure,
        config=config,
        seed=seed,
        psf_half_energy_width=round(observation.psf.half_energy_width, 6),
    )
