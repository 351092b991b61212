# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Headers say which mission, which map and which unit.
"""

import astropy.units as u
import numpy as np
import pytest

from clustercnn.io.missions import (
    dispersion,
    mission_named,
    mission_of,
    psf_fwhm_of,
    role_of,
    unit_of,
)


def test_words_of_headers():
    assert mission_of({'TELESCOP': 'XMM-Newton'}) == 'XMM'
    assert mission_of({'MISSION': 'SRG', 'TELESCOP': 'eROSITA'}) == 'eROSITA'
    assert mission_of({'TELESCOP': 'EP'}) == 'Einstein Probe'
    assert mission_of({'TELESCOP': 'TELEPHONE'}) == 'generic'
    assert mission_of({'CREATOR': 'evtool v1'}) == 'eROSITA'
    assert role_of({'DSTYPE': 'ExposureMap'}) == 'exposure map'
    assert role_of({'DSTYPE': 'BackgrImage'}) == 'background map'
    assert role_of({'DSTYPE': 'Image'}, 'expmap.fits') is None
    assert role_of({}, 'P0_BKGMAP3000.FTZ') == 'background map'
    assert role_of({}, 'image.fits') is None
    assert unit_of({'BUNIT': 'counts'}) == u.ct
    assert unit_of({'BUNIT': '  '}) is None


def test_a_pointing_of_erosita_is_sharper_than_its_survey():
    pointed = psf_fwhm_of('eROSITA', {'OBS_MODE': 'POINTING'})
    survey = psf_fwhm_of('eROSITA', {'OBS_MODE': 'SURVEY'})
    assert pointed < survey == psf_fwhm_of('eROSITA', {})
    assert psf_fwhm_of('XMM', {'OBS_MODE': 'POINTING'}) == psf_fwhm_of('XMM', {})
    assert psf_fwhm_of('generic', {}) is None


@pytest.mark.parametrize('text', ['/cm**2 /s', 'cm**-2 s**-1', '1 / (cm2 s)'])
def test_spellings_of_a_flux(text):
    assert unit_of({'BUNIT': text}) == 1 / (u.cm**2 * u.s)


def test_photons_differ_and_maps_do_not():
    rng = np.random.default_rng(4)
    assert 0.35 < dispersion(rng.poisson(100.0, (100, 100))) < 0.55
    ramp = np.linspace(1000, 2000, 100) * np.ones((100, 1))
    assert dispersion(ramp) < 0.1
    # too few to tell
    assert np.isnan(dispersion(rng.poisson(0.1, (100, 100))))


@pytest.mark.parametrize(
    ('name', 'mission'),
    [
        ('xmm', 'XMM'),
        ('XMM-Newton', 'XMM'),
        ('srg/erosita', 'eROSITA'),
        ('einstein probe', 'Einstein Probe'),
        ('ep', 'Einstein Probe'),
        ('Epsilon', 'Epsilon'),
        ('generic', 'generic'),
    ],
)
def test_missions_have_many_names(name, mission):
    assert mission_named(name) == mission
    assert psf_fwhm_of(name, {}) == psf_fwhm_of(mission, {})


@pytest.mark.parametrize(
    ('mission', 'instrument'),
    [('ROSAT', 'HRI'), ('Einstein Probe', 'WXT'), ('eROSITA', 'ART-XC')],
)
def test_other_instruments_of_a_mission_have_another_width(mission, instrument):
    assert psf_fwhm_of(mission, {'INSTRUME': instrument}) is None
    assert psf_fwhm_of(mission, {'INSTRUME': 'PSPCB'}) is not None
