# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The comparison of Kosiba et al. (2020), on a sky of a few made-up candidates and on *synthetic*
pictures in the layout of the published set.
"""

import dataclasses
import io
import json
import os
import types
import zipfile

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from clustercnn.cli import main
from clustercnn.core import BandStack, CutoutStack, LabelSet
from clustercnn.exceptions import ClusterCNNError, TrainingError
from clustercnn.experiments import Kosiba2020Config, analysis, run_kosiba2020, runs, sky
from clustercnn.experiments.analysis import ROC_GRID, _people, _Test, analyse
from clustercnn.experiments.config import OWN
from clustercnn.experiments.sample import ExperimentSample, _quality, simulated_sample
from clustercnn.experiments.tables import TABLES, _open_interval, headline
from clustercnn.testing import tiny_labels, tiny_stack

CLASSES = ('cluster', 'point', 'galaxy', 'other')
SMALL = {
    'n_expert': 70,
    'n_crowd': 64,
    'n_both': 30,
    'n_test_positive': 8,
    'n_test_negative': 8,
    'n_large': 40,
    'n_votes': 8,
    'n_volunteers': 40,
    'geometry': (('xray', 16, 8.0), ('optical', 16, 8.0)),
    'n_epochs': 30,
    'n_runs': 2,
    'n_side_runs': 0,
    'networks': ('cn',),
    'options': (('cn', (('first_width', 8), ('width', 8), ('n_stages', 2), ('dropout', 0.2))),),
    'batch_size': 32,
}
# of trainings that are only pretended
ALL = {**SMALL, 'n_side_runs': 1, 'networks': ('cn', 'mobilenet', 'fusion')}


def candidates(seed, config):
    """
    Return five candidates, of which clusters are wide and the others narrow.
    """
    rng = np.random.default_rng(seed)
    number = 5
    classes = np.array(CLASSES)[rng.choice(4, number, p=[0.5, 0.3, 0.1, 0.1])]
    y, x = np.mgrid[-7.5:8, -7.5:8]
    width = np.where(classes == 'cluster', 3.0, 1.0)[:, None, None]
    source = np.exp(-0.5 * (x**2 + y**2) / width**2) / width**2
    counts = rng.poisson(0.2 + 40 * source).astype(np.float32)
    plate = rng.normal(size=(number, 16, 16)).astype(np.float32)
    names = [f'{seed}-{k}' for k in range(number)]
    bands = [
        BandStack(name='xray', data=counts, pixel_scale=8 * u.arcsec, unit=u.ct),
        BandStack(name='optical', data=plate, pixel_scale=8 * u.arcsec, unit=u.adu),
    ]
    table = Table({'id': names, 'field': np.full(number, seed), 'class': classes})
    table['subclass'] = np.where(classes == 'cluster', 'hi-z', classes)
    table['redshift'] = np.where(classes == 'cluster', rng.uniform(0.05, 1, number), np.nan)
    table['counts'] = counts.sum(axis=(1, 2)).astype(float)
    table['extent'] = width.ravel() * 8
    table['ext_like'] = rng.uniform(5, 9, number) + 3 * (classes == 'cluster')
    features = {name: np.array(table[name]) for name in ('counts', 'extent', 'ext_like')}
    return CutoutStack(ids=names, bands=bands, features=features), table, 12


def pretend_to_train(curve, run, sample, config):
    """
    Return scores of a known quality, better for the package's own network.
    """
    rng = np.random.default_rng([run, len(curve.name), len(curve.labels)])
    strength = {'cn': 1.5, 'mobilenet': 1.2, 'fusion': 3.0}[curve.network] * len(curve.bands)
    tests = {}
    for name, ids in sample.tests.items():
        truth = sample.truth.select(ids)
        sign = 2 * (truth.binary() > 0.5) - 1
        p = 1 / (1 + np.exp(-strength * sign - 2 * rng.normal(size=len(ids))))
        said = np.where(p > 0.5, 0, np.maximum(truth.hard(), 1))
        tests[name] = {'p_positive': p.round(6).tolist(), 'class': said.tolist()}
    return {
        'curve': curve.name, 'run': run, 'n_parameters': 9, 'tests': tests,
        'seconds': {'training': 2.0, 'prediction': 0.5, 'processor': 3.0},
    }  # fmt: skip


@pytest.fixture
def made_up_sky(monkeypatch):
    monkeypatch.setattr(sky, 'candidates_of_field', candidates)


def comparable(folder):
    """
    Return the results of an experiment without the times.
    """
    results = json.loads((folder / 'results.json').read_text())
    del results['effort']
    for curve in results['curves']:
        del curve['seconds']
    return results


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """
    The folder of an experiment that ran through.
    """
    folder = tmp_path_factory.mktemp('experiment') / 'whole'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sky, 'candidates_of_field', candidates)
        run_kosiba2020(folder, config=Kosiba2020Config(**SMALL), quiet=True)
    return folder


@pytest.fixture(scope='module')
def pretended(tmp_path_factory):
    """
    The folder of an experiment with all curves, none of which was trained.
    """
    folder = tmp_path_factory.mktemp('experiment') / 'pretended'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sky, 'candidates_of_field', candidates)
        patch.setattr(runs, '_train_once', pretend_to_train)
        run_kosiba2020(folder, config=Kosiba2020Config(**ALL), quiet=True)
    return folder


def test_every_part_is_there(pretended):
    results = json.loads((pretended / 'results.json').read_text())
    names = [curve['name'] for curve in results['curves']]
    assert names[:8] == [
        'CN-E', 'MN-E', 'CN-Z', 'MN-Z', 'fusion-E', 'fusion-Z', 'fusion-E+Z', OWN,
    ]  # fmt: skip
    assert names[8:] == [
        'CN-E, X-rays only', 'CN-E, optical only', 'MN-E, X-rays only', 'MN-E, optical only',
        'fusion-E, X-rays only', 'fusion-E, optical only', 'fusion-E, pictures only',
    ]  # fmt: skip
    for curve in results['curves']:
        assert curve['n_runs'] == len(curve['tests']['large']['accuracy']['runs'])
        for key in ('spectroscopic', 'large'):
            test = curve['tests'][key]
            # Wilson's ends are where the mean is 1.96 standard deviations away
            mean, ends = test['accuracy']['mean'], np.array(test['accuracy']['wilson'])
            deviations = 1.959964 * np.sqrt(ends * (1 - ends) / results['tests'][key]['n'])
            assert ends + [1, -1] * deviations == pytest.approx([mean, mean], abs=1e-6)
            low, high = test['accuracy']['by_field']
            assert low <= mean <= high and (low < high or mean in (0, 1))
            assert len(test['roc']['mean']) == len(ROC_GRID)
            assert np.sum(test['confusion']) == pytest.approx(results['tests'][key]['n'])
    for name in ('roc', 'accuracy', 'bands', 'properties', 'confusion'):
        with Image.open(pretended / f'{name}.png') as picture:
            assert picture.size[0] > 800
    page = (pretended / 'report.html').read_text()
    assert page.count('<img') == 5 and 'All real.' not in page
    assert all(make(results)[1] for _, make in TABLES.values())


def test_figures_of_merit_are_those_of_the_runs(pretended):
    results = json.loads((pretended / 'results.json').read_text())
    run = json.loads((pretended / 'runs' / 'cn-e-01.json').read_text())
    sample = Table.read(pretended / 'sky' / '3-0000.ecsv', format='ascii.ecsv')
    called = np.array(run['tests']['large']['p_positive'])[: len(sample)] > 0.5
    right = (called == (sample['class'] == 'cluster')).mean()
    curves = {curve['name']: curve for curve in results['curves']}
    assert results['tests']['large']['n'] == len(sample) == 40
    test = curves['CN-E']['tests']['large']
    assert test['accuracy']['runs'][1] == pytest.approx(right)
    assert test['accuracy']['mean'] == pytest.approx(np.mean(test['accuracy']['runs']))
    assert test['accuracy']['deviation'] == pytest.approx(np.std(test['accuracy']['runs'], ddof=1))
    # whole fields are drawn again, not single candidates
    assert results['tests']['large']['fields'] == 8
    first = next(c for c in results['comparisons'] if c['test'] == 'large')
    assert (first['one'], first['other']) == ('fusion-E+Z', 'CN-E')
    scores = {
        name: np.array([
            json.loads((pretended / 'runs' / f'{file}-0{run}.json').read_text())
            ['tests']['large']['p_positive'] for run in range(2)
        ]).mean(axis=0)
        for name, file in (('one', 'fusion-e+z'), ('other', 'cn-e'))
    }  # fmt: skip
    truth = np.asarray(sample['class'] == 'cluster')
    ok = {name: (score > 0.5) == truth for name, score in scores.items()}
    assert first['mean_of_runs']['only_one_right'] == (ok['one'] & ~ok['other']).sum()
    assert first['mean_of_runs']['only_other_right'] == (ok['other'] & ~ok['one']).sum()
    # the ratio beside the p is of the same scores
    errors = [(~ok[name]).mean() for name in ('one', 'other')]
    assert first['mean_of_runs']['errors'] == pytest.approx(errors)
    assert first['mean_of_runs']['ratio'] == pytest.approx(errors[0] / errors[1])
    words = f'{errors[0] / errors[1]:.2f} times the errors of CN-E'
    assert any(words in line for line in headline(results))
    bins = results['by']['counts']
    assert sum(entry['n'] for entry in bins) == 40
    assert sum(entry['n'] for entry in results['by']['redshift']) == truth.sum()


def test_times_are_those_of_a_processor():
    def run(prediction, processor, **device):
        return {'seconds': {'prediction': prediction, 'processor': processor}, **device}

    config, tests = Kosiba2020Config(), {'large': types.SimpleNamespace(n=10)}
    some = [
        run(1.0, 2.0),
        run(9.0, 90.0, device='gpu'),
        run(3.0, 4.0, device='cpu'),
        run(5.0, 6.0),
    ]
    effort = analysis._effort({'CN': some, 'MN': [run(7.0, 36.0, device='gpu')]}, tests, config)
    # the first run, which compiles, does not count for predictions
    assert effort['machine_seconds'] == {'CN': 0.4, 'MN': 0.7}
    assert effort['processor_seconds'] == {'CN': 4.0, 'MN': 36.0}
    assert effort['processor_hours'] == pytest.approx((4 * 4.0 + 36.0) / 3600)
    assert (effort['n_runs'], effort['n_elsewhere']) == (5, 2)


@pytest.mark.parametrize('batch_size', [0, -1, 2.5])
def test_batches_are_whole(batch_size):
    with pytest.raises(ValueError, match="'batch_size' must be a whole number from 1"):
        Kosiba2020Config(batch_size=batch_size)


def test_fields_are_drawn_whole(pretended, made_up_sky):
    config = Kosiba2020Config(**ALL)
    sample = simulated_sample(pretended, config=config, quiet=True)
    trained = runs.load_runs(pretended / 'runs', sample, config=config)
    ids = sample.tests['large']
    positive = sample.truth.select(ids).binary() > 0.5
    # a field is either all right or all wrong
    number = np.unique(sample.group_of(ids), return_inverse=True)[1]
    for curve, right in (('CN-E', number % 2 == 0), ('fusion-E+Z', number % 4 > 0)):
        for run in trained[curve]:
            run['tests']['large']['p_positive'] = np.where(positive == right, 0.9, 0.1)
    mixed = np.random.default_rng(1).permutation(sample.groups)
    found = {}
    for name, groups in (('field', sample.groups), ('mixed', mixed), ('none', None)):
        results = analyse(dataclasses.replace(sample, groups=groups), trained, config=config)
        found[name] = results['curves'][0]['tests']['large']['accuracy']
        first = next(c for c in results['comparisons'] if c['test'] == 'large')
        found[f'{name} ratio'] = first['ratio_by_field']
    assert found['field']['wilson'] == found['mixed']['wilson'] == found['none']['wilson']
    assert found['none']['by_field'] is None
    widths = {name: np.ptp(found[name]['by_field']) for name in ('field', 'mixed')}
    assert widths['field'] > 1.5 * widths['mixed'] > 0
    ratios = {name: np.ptp(found[f'{name} ratio']) for name in ('field', 'mixed', 'none')}
    assert ratios['field'] > 1.5 * max(ratios['mixed'], ratios['none'])


def test_a_ratio_to_hardly_any_errors_has_no_upper_end():
    test = _Test(few(groups=None), tiny_stack().ids, Kosiba2020Config(**SMALL))
    right, one_wrong, wrong = np.ones((1, 6), bool), np.arange(6)[None] > 0, np.zeros((1, 6), bool)
    # a third of the samples misses the only error
    low, high = test._ratio_interval(wrong, one_wrong)
    assert 1 < low < 6 and high == np.inf
    assert test._ratio_interval(one_wrong, wrong) == [0.0, pytest.approx(0.5)]
    # nothing is known where nobody errs, and all samples agree where one does not
    assert test._ratio_interval(right, right) == [0.0, np.inf]
    assert test._ratio_interval(wrong, right) == [np.inf, np.inf]
    assert [_open_interval(ends) for ends in ([1.5, None], [None, None], [0.2, 0.5])] == [
        'above 1.50', '-', '0.20 to 0.50',
    ]  # fmt: skip


def test_who_answers_for_nothing_of_a_side_has_no_rate_there():
    labels = tiny_labels()
    positive = dict(zip(labels.ids, labels.binary() > 0.5, strict=True))
    clusters = {name: 1.0 for name, is_cluster in positive.items() if is_cluster}
    people = [
        {'name': 'expert 1', 'kind': 'expert', 'positive': clusters},
        {'name': 'expert 2', 'kind': 'expert', 'positive': {}},
    ]
    one, other = _people(few(people=tuple(people)))
    assert one['completeness'][0] == one['accuracy'][0] == 1
    assert one['false_positive_rate'] is None
    assert other['n_without_answer'] == 6
    assert other['completeness'] is other['false_positive_rate'] is other['accuracy'] is None
    _, rows = TABLES['people'][1]({'people': [one, other]})
    assert rows[0][-1] == '-' and rows[1][-3:] == ('-', '-', '-')


def test_the_network_learns_what_the_people_saw(whole):
    results = json.loads((whole / 'results.json').read_text())
    auc = {c['name']: c['tests']['large']['auc']['mean'] for c in results['curves']}
    assert set(auc) == {'CN-E', 'CN-Z'}
    assert min(auc.values()) > 0.8
    # runs differ in their seeds
    one, other = (
        json.loads((whole / 'runs' / f'cn-e-0{run}.json').read_text()) for run in range(2)
    )
    assert one['seed'] != other['seed'] and one['tests'] != other['tests']


def test_sizes_are_those_asked_for(whole, made_up_sky, tmp_path):
    config = Kosiba2020Config(**SMALL)
    sample = simulated_sample(tmp_path, config=config, quiet=True)
    labels, test = sample.label_sets, set(sample.tests['spectroscopic'])
    assert len(labels['E']) == config.n_expert - 16
    assert len(labels['Z']) == config.n_crowd - 16
    assert len(set(labels['E'].ids) & set(labels['Z'].ids)) == config.n_both - 16
    assert len(labels['E+Z']) == config.n_training
    truth = sample.truth.select(sample.tests['spectroscopic']).binary()
    assert (truth.sum(), len(truth)) == (8, 16)
    # it holds only what both answered, and says how much that leaves out
    asked = sample.facts['spectroscopic']
    sky_ids = {
        name
        for path in (tmp_path / 'sky').glob('1-*.ecsv')
        for name in Table.read(path, format='ascii.ecsv')['id']
    }
    answers = Table.read(tmp_path / 'experts.csv', format='ascii.csv')
    answers = answers[[name in sky_ids for name in answers['id']]]
    silent = (answers['expert_1'] == 'unknown') & (answers['expert_2'] == 'unknown')
    assert (asked['n_asked'], asked['n_without_experts']) == (len(answers), silent.sum())
    assert not test & set(answers['id'][silent].tolist())
    parts = asked['n_without_experts'], asked['n_without_volunteers']
    assert max(parts) <= asked['n_dropped'] <= sum(parts)
    # nothing that is tested on shares a field with what is learnt from
    tested = {*test, *sample.tests['large']}
    fields = {name: set(sample.group_of(ids).tolist()) for name, ids in (
        ('learnt', labels['E+Z'].ids), ('tested', tuple(tested)),
    )}  # fmt: skip
    assert not fields['learnt'] & fields['tested']
    assert not set(sample.group_of(sample.tests['large'])) & set(sample.group_of(tuple(test)))
    # the votes went through the file of the volunteers
    export = (tmp_path / 'votes.csv').read_text()
    assert export.startswith('classification_id,') and '#candidate' in export
    assert sample.facts['n_votes'] <= 8 * (config.n_crowd + 20)
    results = json.loads((whole / 'results.json').read_text())
    people = {person['kind'] for person in results['people']}
    assert people == {'expert', 'volunteers', 'one volunteer'}


def test_killed_and_started_again_gives_the_same(whole, made_up_sky, tmp_path, monkeypatch):
    config = Kosiba2020Config(**SMALL)
    original, done = runs._train_once, []

    def fail_in_the_middle(*arguments):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(arguments[:2])
        return original(*arguments)

    monkeypatch.setattr(runs, '_train_once', fail_in_the_middle)
    folder = tmp_path / 'again'
    with pytest.raises(KeyboardInterrupt):
        run_kosiba2020(folder, config=config, quiet=True)
    assert len(list((folder / 'runs').iterdir())) == 3
    assert not (folder / 'results.json').exists()
    # of the sky, too, a part is missing
    (folder / 'sky' / '2-0000.ecsv').unlink()
    seen = []

    def count(*arguments):
        seen.append(arguments[:2])
        return original(*arguments)

    monkeypatch.setattr(runs, '_train_once', count)
    run_kosiba2020(folder, config=config, quiet=True)
    assert len(seen) == 4 - 3
    assert not {(curve.name, run) for curve, run in seen} & {(c.name, run) for c, run in done}
    assert comparable(folder) == comparable(whole)


def test_two_processes_train_the_same(whole, made_up_sky, tmp_path):
    config = Kosiba2020Config(**SMALL)
    sample = simulated_sample(tmp_path, config=config, quiet=True)
    runs.train_runs(tmp_path / 'runs', sample, config=config, n_workers=2, quiet=True)
    paths = sorted((whole / 'runs').iterdir())
    assert [path.name for path in paths] == sorted(p.name for p in (tmp_path / 'runs').iterdir())
    for path in paths:
        one, other = (json.loads(p.read_text()) for p in (path, tmp_path / 'runs' / path.name))
        assert one.pop('seconds') and other.pop('seconds')
        assert one == other


def test_a_process_that_is_ended_from_outside_is_told():
    with pytest.raises(ClusterCNNError, match='one of 2 processes ended'), sky.executor(2) as pool:
        pool.submit(os._exit, 1).result()


def test_a_folder_of_other_settings_is_refused(whole, made_up_sky, monkeypatch, tmp_path):
    other = Kosiba2020Config(**{**SMALL, 'n_epochs': 4})
    before = sorted(path.name for path in whole.rglob('*'))
    wrong = r'another n_epochs \(30 instead of 4\); ask for the same'
    with pytest.raises(FileExistsError, match=wrong):
        run_kosiba2020(whole, config=other, quiet=True)
    assert sorted(path.name for path in whole.rglob('*')) == before
    (tmp_path / 'results.json').write_text('{}')
    with pytest.raises(FileExistsError, match=r'holds results\.json, but not of this experiment'):
        run_kosiba2020(tmp_path, config=other, quiet=True)
    monkeypatch.setattr(runs, '_train_once', None)
    # the same settings again: nothing is trained
    run_kosiba2020(whole, config=Kosiba2020Config(**SMALL), quiet=True)


def test_other_labels_are_not_taken_for_those_learnt_from(whole, made_up_sky, monkeypatch):
    def brighter(seed, config):
        stack, table, n_found = candidates(seed, config)
        band = stack.band('xray')
        bands = [band.replace(data=band.data + 1), stack.band('optical')]
        return stack.replace(bands=bands), table, n_found

    for path in (whole / 'sky').iterdir():
        path.rename(path.with_name(f'kept-{path.name}'))
    monkeypatch.setattr(sky, 'candidates_of_field', brighter)
    try:
        with pytest.raises(FileExistsError, match='another digest'):
            run_kosiba2020(whole, config=Kosiba2020Config(**SMALL), quiet=True)
    finally:
        for path in (whole / 'sky').iterdir():
            if not path.name.startswith('kept-'):
                path.unlink()
        for path in (whole / 'sky').iterdir():
            path.rename(path.with_name(path.name.removeprefix('kept-')))


def few(**changes):
    """
    Return a sample of six made-up candidates with some of its parts changed.
    """
    stack, labels = tiny_stack(), tiny_labels()
    parts = {
        'kind': 'simulated',
        'stack': stack,
        'groups': np.arange(6) // 2,
        'label_sets': {'E': labels},
        'truth': labels,
        'tests': {'spectroscopic': stack.ids},
        'columns': {},
        'people': (),
        'facts': {},
    }
    return ExperimentSample(**{**parts, **changes})


def changed_band(**changes):
    stack = tiny_stack()
    bands = [stack.band('xray').replace(**changes), stack.band('optical')]
    return stack.replace(bands=bands)


def test_the_fingerprint_knows_all_that_is_learnt_from():
    stack, labels = tiny_stack(), tiny_labels()
    data = stack['xray']
    fewer = stack.select(stack.ids[:5])
    samples = [
        few(),
        few(stack=changed_band(data=data + 1)),
        few(stack=changed_band(exposure=np.full(data.shape, 5.0))),
        few(stack=changed_band(background=np.full(data.shape, 5.0))),
        few(stack=changed_band(exposure=None, background=None)),
        few(stack=changed_band(mask=data > data.mean())),
        few(stack=changed_band(psf_fwhm=np.full(6, 7.0))),
        few(stack=changed_band(pixel_scale=5.000000001 * u.arcsec)),
        few(stack=changed_band(pixel_scale=5.000000002 * u.arcsec)),
        few(stack=stack.replace(features={'counts': np.arange(6.0)})),
        few(stack=stack.replace(features={'extent': np.arange(6.0)})),
        few(groups=None),
        few(groups=np.arange(6)),
        few(label_sets={'Z': labels}),
        few(label_sets={'E': labels.replace(weight=np.arange(1, 7.0))}),
        few(label_sets={'E': labels.replace(probability=labels.probability[::-1])}),
        few(truth=labels.replace(probability=labels.probability[::-1])),
        few(stack=fewer, groups=np.arange(5) // 2),
        few(tests={'spectroscopic': stack.ids[:3], 'large': stack.ids[3:]}),
        few(tests={'spectroscopic': stack.ids[:4], 'large': stack.ids[4:]}),
    ]
    digests = [sample.digest() for sample in samples]
    assert len(set(digests)) == len(samples)
    assert few().digest() == digests[0]
    # what only the page tells changes no training
    assert few(facts={'n': 3}).digest() == digests[0]


def test_half_for_a_cluster_is_not_for_it():
    probability = [[0.5, 0.5, 0, 0], [0.6, 0.4, 0, 0], [0.4, 0.2, 0.2, 0.2], [0, 0.5, 0.5, 0]]
    labels = LabelSet(ids=list('abcd'), probability=probability)
    found = _quality(labels, {'a': 'point', 'b': 'cluster', 'c': 'cluster', 'd': 'galaxy'})
    # the class is the first of equals, the side is not
    assert found == {
        'n': 4, 'n_ties': 2, 'right_class': 0.5, 'right_side': 0.75,
        'clusters': 2, 'named_clusters': 1,
    }  # fmt: skip


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="'n_both' must lie above the 170"):
        Kosiba2020Config(n_both=170)
    with pytest.raises(ValueError, match="'n_runs' must be a whole number from 1, got 0"):
        Kosiba2020Config(n_runs=0)
    with pytest.raises(ValueError, match="'networks' must be some of cn, mobilenet, fusion"):
        Kosiba2020Config(networks=('resnet',))


@pytest.mark.parametrize('name', ['n_expert', 'n_large', 'n_epochs', 'n_runs'])
def test_less_than_the_paper_is_called_small(name):
    whole = Kosiba2020Config()
    assert not whole.is_small() and not whole.is_small(real=True)
    one_less = dataclasses.replace(whole, **{name: getattr(whole, name) - 1})
    assert one_less.is_small()
    assert one_less.is_small(real=True) == (name in ('n_epochs', 'n_runs'))


def test_a_selection_that_passes_nothing_ends(monkeypatch, tmp_path):
    monkeypatch.setattr(sky, 'candidates_of_field', lambda seed, config: (None, Table(), 9))
    monkeypatch.setattr(sky, '_MOST_FIELDS', 4)
    wanted = {'config': Kosiba2020Config(**SMALL), 'wanted': {'all': 2}, 'quiet': True}
    with (
        sky.executor(1) as pool,
        pytest.raises(TrainingError, match='only 0 candidates pass the selection in 48'),
    ):
        sky.collect_candidates(tmp_path, 1, pool=pool, **wanted)


@pytest.mark.filterwarnings('default')
def test_the_real_finder_selects_what_is_extended():
    # so many clusters that some are found whatever the seed
    config = Kosiba2020Config(**SMALL, cluster_boost=10.0, exposures=(20.0,))
    stack, table, n_found = sky.candidates_of_field(21, config)
    assert n_found > len(stack) > 0
    assert table.colnames == list(sky._COLUMNS)
    assert (table['extent'] > 5).all() and (table['ext_like'] > 5).all()
    assert stack['xray'].shape[1:] == (16, 16) and stack['optical'].shape[1:] == (16, 16)
    known = np.isfinite(table['redshift'])
    assert (known == (table['class'] == 'cluster')).all()


def published(path, n_train=30, n_test=20):
    """
    Write synthetic pictures in the layout of the published set: clusters are wide.
    """
    classes = ('low-z', 'hi-z', 'galaxy', 'point', 'other')
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:356, :356] - 177.5
    with zipfile.ZipFile(path, 'w') as archive:
        for split, number, first in (('train', n_train, 1), ('test', n_test, 1001)):
            rows = ['image_id,class']
            for k in range(number):
                name, width = classes[k % 5], 60 if k % 5 < 2 else 12
                picture = rng.integers(0, 40, (356, 356, 3)).astype(np.uint8)
                picture[..., 0] = 0
                picture[..., 2] += (200 * np.exp(-0.5 * (x**2 + y**2) / width**2)).astype(np.uint8)
                stream = io.BytesIO()
                Image.fromarray(picture).save(stream, format='PNG')
                archive.writestr(f'K/{split}_images/{first + k}.png', stream.getvalue())
                rows.append(f'{first + k},{name}')
            archive.writestr(f'K/{split}.csv', '\n'.join(rows) + '\n')
    return path


def test_the_published_set_goes_the_same_way(tmp_path):
    path = published(tmp_path / 'Kosiba2020.zip')
    config = Kosiba2020Config(**{**SMALL, 'n_epochs': 12, 'batch_size': 16, 'n_runs': 1})
    results = run_kosiba2020(tmp_path / 'out', data=path, config=config, quiet=True)
    assert results['kind'] == 'real' and results['small']
    # what is returned is what is written, infinite ends of intervals and all
    assert results == json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert results['tests'] == {'published': {'n': 20, 'n_positive': 8, 'fields': None}}
    assert results['people'] == [] and results['by'] == {}
    (curve,) = results['curves']
    assert curve['bands'] == ['xray-picture', 'optical']
    assert curve['tests']['published']['auc']['mean'] > 0.9
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert 'All real.' in page and 'simulated' not in page
    assert not (tmp_path / 'out' / 'properties.png').exists()


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main(['experiment', 'kosiba2020']) == 2
    capsys.readouterr()
    command = ['experiment', 'kosiba2020', '-o', str(tmp_path / 'out'), '--data']
    assert main([*command, str(tmp_path / 'none.zip')]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert 'none.zip' in line
