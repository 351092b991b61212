# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Counterparts in catalogues: probabilities that are as often right as they say.
"""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.io import fits
from astropy.table import Table

from clustercnn import CandidateCatalog
from clustercnn.labels import label_by_catalogue, match_catalogue, spectroscopy

SIDE = 4.0  # deg
PER_DEGREE = 40.0


def _sky(seed, *, n=400, share=0.4, error=5.0, catalogue_error=20.0, density=PER_DEGREE):
    """
    Return candidates, a catalogue with unrelated objects, and the true counterpart of each.
    """
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, SIDE, (2, n))
    has = rng.random(n) < share
    sigma = np.hypot(error, catalogue_error) / 3600
    known = np.stack([x, y])[:, has] + rng.normal(0, sigma, (2, has.sum()))
    unrelated = rng.uniform(-0.5, SIDE + 0.5, (2, rng.poisson(density * (SIDE + 1) ** 2)))
    catalogue = np.concatenate([known, unrelated], axis=1)
    truth = np.full(n, -1)
    truth[has] = np.arange(has.sum())
    return SkyCoord(x, y, unit='deg'), SkyCoord(*catalogue, unit='deg'), truth


def test_probabilities_are_as_often_right_as_they_say():
    said, right = [], []
    for seed in range(12):
        positions, catalogue, truth = _sky(seed, density=400.0)
        matches = match_catalogue(
            positions, catalogue, error=5 * u.arcsec, catalogue_error=20 * u.arcsec
        )
        said.append(matches['probability'])
        right.append(truth[matches['candidate']] == matches['counterpart'])
    said, right = np.concatenate(said), np.concatenate(right)
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        chosen = (said >= low) & (said < high)
        n = chosen.sum()
        assert n > 40
        expected = said[chosen].mean()
        # three sigma of the binomial, and a hundredth for what is estimated
        bound = 3 * np.sqrt(expected * (1 - expected) / n) + 0.01
        assert right[chosen].mean() == pytest.approx(expected, abs=bound)


def test_the_share_with_a_counterpart_and_the_density_are_found():
    positions, catalogue, truth = _sky(3, n=2000)
    matches = match_catalogue(
        positions, catalogue, error=5 * u.arcsec, catalogue_error=20 * u.arcsec
    )
    assert matches.meta['share'] == pytest.approx((truth >= 0).mean(), abs=0.03)
    everything = len(catalogue) / (SIDE + 1) ** 2 / 3600
    assert matches.meta['density'] == pytest.approx(everything, rel=0.35)
    total = np.bincount(matches['candidate'], matches['probability'])
    assert total.max() <= 1


def test_where_nothing_is_related_nothing_is_claimed():
    positions, catalogue, _ = _sky(5, share=0.0)
    matches = match_catalogue(
        positions, catalogue, error=5 * u.arcsec, catalogue_error=20 * u.arcsec
    )
    assert matches['probability'].sum() < 0.03 * len(positions)


def test_of_two_objects_the_nearer_is_likelier():
    positions = SkyCoord([10.0], [0.0], unit='deg')
    catalogue = SkyCoord([10 + 3 / 3600, 10 - 12 / 3600], [0, 0], unit='deg')
    options = {'density': 1 / u.deg**2, 'share': 0.5}
    matches = match_catalogue(
        positions, catalogue, error=3 * u.arcsec, catalogue_error=4 * u.arcsec, **options
    )
    first, second = matches['probability'][np.argsort(matches['counterpart'])]
    # the ratio of two Gaussians of 5 arcsec
    assert first / second == pytest.approx(np.exp((12**2 - 3**2) / (2 * 25)))
    assert first + second > 0.99
    assert matches['separation'].to_value('arcsec').max() == pytest.approx(12, rel=1e-6)


def test_errors_may_differ_between_objects():
    positions = SkyCoord([10.0, 20.0], [0.0, 0.0], unit='deg')
    catalogue = SkyCoord([10 + 20 / 3600, 20 + 20 / 3600], [0, 0], unit='deg')
    matches = match_catalogue(
        positions,
        catalogue,
        error=[2, 10] * u.arcsec,
        catalogue_error=2 * u.arcsec,
        density=1 / u.deg**2,
    )
    # twenty arcsec are seven sigma for the first and two for the second
    assert matches['candidate'].tolist() == [1]


def test_candidates_near_known_clusters_are_labelled():
    positions, objects, truth = _sky(7, n=60)
    candidates = CandidateCatalog.from_columns(
        ra=positions.ra, dec=positions.dec, pos_err=np.full(60, 5.0)
    )
    labels, matches = label_by_catalogue(
        candidates, objects, 'cluster', catalogue_error=20 * u.arcsec, least=0.8
    )
    known = labels.hard() == 0
    assert labels.ids == candidates.ids
    # as often as asked
    assert (truth[known] >= 0).mean() > 0.8
    assert known[truth >= 0].mean() > 0.8
    assert set(labels.names()) == {'cluster', 'unknown'}
    assert {labels.source[row] for row in np.flatnonzero(known)} == {'spectroscopy'}
    assert (labels.weight[known] >= 0.8).all()
    assert labels.meta['n_known'] == known.sum()
    assert len(matches) >= known.sum()


def test_an_object_labels_one_candidate_only():
    candidates = CandidateCatalog.from_columns(
        ra=[10.0, 10 + 4 / 3600], dec=[0.0, 0.0], pos_err=[2.0, 2.0]
    )
    objects = SkyCoord([10.0], [0.0], unit='deg')
    labels, _ = label_by_catalogue(
        candidates,
        objects,
        'galaxy',
        catalogue_error=5 * u.arcsec,
        density=1 / u.deg**2,
        share=0.5,
    )
    assert labels.names() == ['galaxy', 'unknown']
    assert labels.meta['n_object_of_another'] == 1


def test_real_catalogue_knows_the_real_cluster(shared_data):
    # its units are not those of the standard
    table = Table(fits.getdata(shared_data / 'catalogues' / 'MCXC_Piffaretti2011.fits.gz', 1))
    objects = SkyCoord(table['RAdeg'], table['DEdeg'], unit='deg')
    candidates = CandidateCatalog.from_columns(
        ra=[210.2586, 210.3], dec=[2.8786, 2.7], pos_err=[1.0, 1.0]
    )
    labels, matches = label_by_catalogue(
        candidates, objects, 'cluster', catalogue_error=30 * u.arcsec
    )
    assert labels.names() == ['cluster', 'unknown']
    assert matches['separation'].to_value('arcsec').min() < 10


def test_nothing_in_gives_nothing_out():
    none = SkyCoord([], [], unit='deg')
    some = SkyCoord([1.0], [1.0], unit='deg')
    for one, other in ((none, some), (some, none)):
        matches = match_catalogue(one, other, error=1 * u.arcsec, catalogue_error=1 * u.arcsec)
        assert len(matches) == 0
        assert matches.meta['n_candidates'] == len(one)


def test_what_cannot_be_is_refused():
    some = SkyCoord([1.0], [1.0], unit='deg')
    good = {'error': 1 * u.arcsec, 'catalogue_error': 1 * u.arcsec}
    with pytest.raises(TypeError, match="'positions' must be a SkyCoord"):
        match_catalogue([1.0], some, **good)
    with pytest.raises(TypeError, match="'error' must be an angle with a unit"):
        match_catalogue(some, some, **(good | {'error': 1.0}))
    with pytest.raises(ValueError, match="'error' must be finite and above 0, got 0 arcsec"):
        match_catalogue(some, some, **(good | {'error': 0 * u.arcsec}))
    with pytest.raises(ValueError, match="'catalogue_error' must have one value or 1, got 2"):
        match_catalogue(some, some, **(good | {'catalogue_error': [1, 2] * u.arcsec}))
    with pytest.raises(ValueError, match="'density' must be finite"):
        match_catalogue(some, some, density=0 / u.deg**2, **good)
    with pytest.raises(ValueError, match="'share' must lie"):
        match_catalogue(some, some, share=1.0, **good)
    candidates = CandidateCatalog.from_columns(ra=[1.0], dec=[1.0])
    with pytest.raises(ValueError, match='there is no class'):
        label_by_catalogue(candidates, some, 'quasar', catalogue_error=1 * u.arcsec)
    with pytest.raises(ValueError, match="'least' must lie"):
        label_by_catalogue(candidates, some, 'point', catalogue_error=1 * u.arcsec, least=0)


def test_one_large_error_does_not_widen_the_search_of_others(monkeypatch):
    rng = np.random.default_rng(4)
    candidates, known = (
        SkyCoord(10 + rng.uniform(-1, 1, n), rng.uniform(-1, 1, n), unit='deg') for n in (800, 1500)
    )
    errors = rng.uniform(1, 4, 800)
    errors[3] = 900.0
    theirs = rng.uniform(2, 30, 1500)
    looked_at = []

    def search(*arguments):
        found = search_around_sky(*arguments)
        looked_at.append(len(found[0]))
        return found

    monkeypatch.setattr(spectroscopy, 'search_around_sky', search)
    matches = match_catalogue(
        candidates,
        known,
        error=errors * u.arcsec,
        catalogue_error=theirs * u.arcsec,
        density=1500 / (4 * u.deg**2),
        share=0.5,
    )
    separation = candidates[:, None].separation(known).to_value(u.arcsec)
    wanted = np.argwhere(separation <= 5 * np.hypot(errors[:, None], theirs))
    np.testing.assert_array_equal(
        np.stack([matches['candidate'], matches['counterpart']], axis=1), wanted
    )
    assert len(wanted) > 1000
    # all pairs are 1.2 million
    assert sum(looked_at) < 4 * len(wanted)


def test_a_single_candidate_is_no_proof_of_the_share_of_all():
    found = match_catalogue(
        SkyCoord([10.0], [0.0], unit='deg'),
        SkyCoord([10.0 + 20 / 3600], [0.0], unit='deg'),
        error=4 * u.arcsec,
        catalogue_error=15 * u.arcsec,
        density=2000 / u.deg**2,
    )
    # a likelihood ratio of 1.9
    assert 0.5 < found['probability'][0] < 0.9
