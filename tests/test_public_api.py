# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The public names, frozen, and what their documentation must hold.

Scripts rely on these names: one is added with thought, and none is taken away without a
deprecation of two minor releases.
"""

import enum
import functools
import importlib
import inspect
import pkgutil
import re

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

import clustercnn

PUBLIC = {
    'clustercnn': (
        'Band',
        'BandStack',
        'Candidate',
        'CandidateCatalog',
        'CandidateFlag',
        'Classifier',
        'CutoutMaker',
        'CutoutStack',
        'LabelSchema',
        'LabelSet',
        'MultiBandCutout',
        'PredictionSet',
        'SegmentationFinder',
        'WaveletFinder',
        'XrayImage',
        '__version__',
        'cutouts',
        'evaluation',
        'finding',
        'io',
        'labels',
        'pipeline',
        'report',
        'simulate',
    ),
    'clustercnn.classifier': ('Classifier',),
    'clustercnn.cli': (
        'build_parser',
        'main',
    ),
    'clustercnn.core': (
        'Band',
        'BandStack',
        'Candidate',
        'CandidateCatalog',
        'CandidateFlag',
        'CutoutStack',
        'FLAG_DESCRIPTIONS',
        'LabelSchema',
        'LabelSet',
        'MultiBandCutout',
        'PredictionSet',
        'PsfImage',
        'UNKNOWN',
        'UNKNOWN_NAME',
        'XrayImage',
        'decode_flags',
        'designations',
        'pixel_scale_of',
        'tangent_wcs',
    ),
    'clustercnn.cutouts': (
        'CutoutMaker',
        'DEFAULT_GEOMETRY',
        'PARTIAL_COVERAGE',
        'coverage_flags',
    ),
    'clustercnn.demo': (
        'compare_with_truth',
        'run_demo',
    ),
    'clustercnn.evaluation': (
        'EvaluationResult',
        'JoinedScores',
        'PurityCurve',
        'ReliabilityCurve',
        'RocCurve',
        'accuracy',
        'average_precision',
        'brier_score',
        'calibration_interval',
        'confusion_matrix',
        'evaluate',
        'expected_calibration_error',
        'join',
        'mcnemar_exact',
        'plot_history',
        'plot_purity_completeness',
        'plot_reliability',
        'plot_roc',
        'plot_score_histogram',
        'purity_completeness',
        'resampled_weights',
        'reliability_curve',
        'roc_auc',
        'roc_auc_interval',
        'roc_curve',
        'shifted_purity',
        'wilson_interval',
    ),
    'clustercnn.exceptions': (
        'ClusterCNNError',
        'ClusterCNNWarning',
        'DataQualityWarning',
        'FluxImageError',
        'ImageMismatchError',
        'ImageReadError',
        'MissingDependencyError',
        'ModelFileError',
        'NoImageError',
        'TableReadError',
        'TrainingError',
    ),
    'clustercnn.experiments': (
        'Curve',
        'Kosiba2020Config',
        'run_kosiba2020',
    ),
    'clustercnn.explanation': (
        'Attribution',
        'grad_cam',
        'integrated_gradients',
        'occlusion',
        'plot_attributions',
    ),
    'clustercnn.finding': (
        'SegmentationFinder',
        'WaveletFinder',
        'characterise',
        'estimate_background',
    ),
    'clustercnn.footprint': ('without_dark_frame',),
    'clustercnn.io': (
        'FileReport',
        'check_files',
        'name_classes',
        'read_classifications',
        'read_events',
        'read_image',
        'read_kosiba2020',
        'read_optical',
        'read_psf',
        'read_subjects',
        'read_weights',
    ),
    'clustercnn.labels': (
        'DawidSkeneResult',
        'agreement_interval',
        'cohen_kappa',
        'combine_labels',
        'consensus',
        'dawid_skene',
        'fleiss_kappa',
        'krippendorff_alpha',
        'label_by_catalogue',
        'match_catalogue',
        'pairwise_agreement',
        'split_by_group',
        'split_by_sky',
        'votes_from_columns',
    ),
    'clustercnn.models': (),
    'clustercnn.network': (
        'Augmentation',
        'BandArrays',
        'BandSpec',
        'CN',
        'CNConfig',
        'FEATURES',
        'Feature',
        'Fusion',
        'FusionConfig',
        'InputSpec',
        'MobileNet',
        'MobileNetConfig',
        'Network',
        'Preprocessing',
        'augment',
        'build_network',
        'dihedral',
        'flatten',
        'from_dict',
        'import_mobilenet',
        'make_dataset',
        'make_onnx',
        'make_planes',
        'n_rows',
        'network_names',
        'regrid',
        'take',
        'thin_counts',
        'to_dict',
        'unflatten',
    ),
    'clustercnn.pipeline': (
        'FieldResult',
        'catalog_of',
        'classify_cutouts',
        'export_subjects',
        'find_sources',
        'label_export',
        'label_votes',
        'make_cutouts',
        'measure_agreement',
        'rank_candidates',
        'run_field',
        'train_classifier',
    ),
    'clustercnn.provenance': (
        'Stopwatch',
        'jax_backend',
        'make_record',
        'software_versions',
        'system_information',
    ),
    'clustercnn.report': ('write_report', 'write_subjects'),
    'clustercnn.simulate': (
        'Camera',
        'EXPERTS',
        'Injection',
        'MISSIONS',
        'Mission',
        'OPTICAL_SURVEYS',
        'OpticalBand',
        'People',
        'PhotonOrigin',
        'PointSpread',
        'RANDOMISED_RANGES',
        'SimulatedCrowd',
        'SimulatedField',
        'SimulationConfig',
        'TrainingSet',
        'VOLUNTEERS',
        'agn_number_counts',
        'characteristic_magnitude',
        'cluster_number_counts',
        'field_seed',
        'galaxy_number_counts',
        'get_mission',
        'inject',
        'simulate_crowd',
        'simulate_field',
        'simulate_fields',
        'simulate_training_set',
        'simulate_votes',
        'star_number_counts',
    ),
    'clustercnn.testing': (
        'assert_identical',
        'tiny_catalog',
        'tiny_image',
        'tiny_labels',
        'tiny_prediction',
        'tiny_stack',
        'tiny_wcs',
    ),
    'clustercnn.training': (
        'Steps',
        'TrainingConfig',
        'TrainingResult',
        'binary_auc',
        'differences',
        'digest',
        'evaluate',
        'conformal_limits',
        'conformal_sets',
        'fit_novelty',
        'fit_statistics',
        'fit_temperature',
        'image_statistics',
        'n_statistics',
        'statistics_distance',
        'label_loss',
        'load_checkpoint',
        'make_optimizer',
        'make_steps',
        'novelty',
        'predict',
        'prior_shift',
        'prediction_steps',
        'probability_loss',
        'read_arrays',
        'restore',
        'save_checkpoint',
        'softmax',
        'train',
        'vote_loss',
        'vote_shares',
        'write_arrays',
    ),
}

# read by people and other programs, but nobody's entrance
WITHOUT_EXAMPLES = {
    # their example is the whole chain, minutes of work: the quickstart runs it
    'clustercnn.demo.run_demo',
    'clustercnn.demo.compare_with_truth',
}

# what the contract of the package says users may rely on
CONTRACT = {
    'clustercnn.XrayImage': ('read', 'write', 'counts', 'exposure', 'background', 'wcs'),
    'clustercnn.CandidateCatalog': ('read', 'write', 'ids', 'positions', 'select'),
    'clustercnn.CutoutStack': ('from_arrays', 'read', 'write', 'select', 'bands'),
    'clustercnn.LabelSet': ('from_labels', 'read', 'write', 'hard', 'soft', 'ids', 'schema'),
    'clustercnn.PredictionSet': ('ids', 'schema', 'probability', 'to_table'),
    'clustercnn.Classifier': ('fit', 'predict', 'save', 'load', 'from_pretrained'),
    'clustercnn.WaveletFinder': ('__call__',),
    'clustercnn.SegmentationFinder': ('__call__',),
    'clustercnn.CutoutMaker': ('__call__',),
}

# of numpydoc's checks, those that say that a docstring and its object differ
CHECKS = {
    'GL08',  # no docstring
    'GL05',  # tabs
    'GL07',  # order of sections
    'PR01',  # parameters not documented
    'PR02',  # parameters documented that there are not
    'PR03',  # in another order
    'PR04',  # without a type
    'PR07',  # without a description
    'RT01',  # no Returns section
    'RT03',  # a result without a description
    'SS01',  # no summary
    'SS03',  # summary without a full stop
}


def public_modules():
    """
    List the public modules and subpackages right below the package.
    """
    return sorted(
        f'clustercnn.{module.name}'
        for module in pkgutil.iter_modules(clustercnn.__path__)
        if not module.name.startswith('_')
    )


@functools.cache
def public_objects():
    """
    Map the frozen names to classes and functions, by the first place they are public at.
    """
    objects = {}
    for module, names in PUBLIC.items():
        for name in names:
            thing = getattr(importlib.import_module(module), name)
            if callable(thing) and thing not in objects.values():
                objects[f'{module}.{name}'] = thing
    return objects


@functools.cache
def public_members():
    """
    Map dotted names to the public methods and properties of the public classes, our own only.
    """
    members = {}
    for path, thing in public_objects().items():
        if not inspect.isclass(thing):
            continue
        for name, member in vars(thing).items():
            # of the private ones only the call is part of the interface
            if name.startswith('_') and name != '__call__':
                continue
            plain = getattr(member, '__func__', member)
            if inspect.isfunction(plain) or isinstance(
                member, property | functools.cached_property
            ):
                members[f'{path}.{name}'] = member
    return members


OBJECTS = [f'{module}.{name}' for module, names in PUBLIC.items() for name in names]


def test_every_module_is_frozen():
    assert public_modules() == sorted(set(PUBLIC) - {'clustercnn'})


@pytest.mark.parametrize('module', PUBLIC)
def test_names_are_those_agreed(module):
    names = importlib.import_module(module).__all__
    assert sorted(names) == sorted(PUBLIC[module])
    assert len(set(names)) == len(names)


@pytest.mark.parametrize('path', OBJECTS)
def test_name_is_there(path):
    module, _, name = path.rpartition('.')
    assert getattr(importlib.import_module(module), name) is not None
    assert name in dir(importlib.import_module(module))


@pytest.mark.parametrize('path', CONTRACT)
def test_members_users_rely_on(path):
    module, _, name = path.rpartition('.')
    cls = getattr(importlib.import_module(module), name)
    fields = getattr(cls, '__dataclass_fields__', {})
    missing = [m for m in CONTRACT[path] if not hasattr(cls, m) and m not in fields]
    assert missing == []


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = clustercnn.nothing


def complaints_of(path, thing):
    """
    List what numpydoc finds wrong with a docstring.
    """
    found = []
    for code, message in validate(get_doc_object(thing))['errors']:
        # numpydoc takes the signature of an enumeration or a network from its metaclass
        is_hidden = inspect.isclass(thing) and type(thing) is not type
        if code in CHECKS and not (is_hidden and code in {'PR01', 'PR02', 'PR03'}):
            found.append(f'{path}: {code} {message}')
    if inspect.isclass(thing) and type(thing) is not type and not issubclass(thing, enum.Enum):
        takes = list(inspect.signature(thing.__init__).parameters)[1:]
        names = [name for p in get_doc_object(thing)['Parameters'] for name in p.name.split(', ')]
        if names != takes:
            found.append(f'{path}: documents {names}, takes {takes}')
    return found


def test_docstrings_match_their_objects():
    found = []
    for path, thing in public_objects().items():
        found += complaints_of(path, thing)
    assert not found, '\n' + '\n'.join(found)


def test_docstrings_of_members_match():
    found = []
    for path, member in public_members().items():
        if isinstance(member, property | functools.cached_property):
            getter = getattr(member, 'fget', None) or member.func
            if not (getter.__doc__ or '').strip():
                found.append(f'{path}: no docstring')
            continue
        found += complaints_of(path, getattr(member, '__func__', member))
    assert not found, '\n' + '\n'.join(found)


def test_everything_public_has_a_running_example():
    found = []
    for path, thing in public_objects().items():
        doc = thing.__doc__ or ''
        if path in WITHOUT_EXAMPLES or (inspect.isclass(thing) and issubclass(thing, Exception)):
            continue
        if 'Examples\n' not in doc or '>>> ' not in doc:
            found.append(f'{path}: no example')
    assert not found, '\n' + '\n'.join(found)
    assert set(WITHOUT_EXAMPLES) <= set(public_objects())


def test_no_example_is_skipped():
    found = [
        path
        for path, thing in {**public_objects(), **public_members()}.items()
        if re.search(r'doctest:\s*\+SKIP|__doctest_skip__', thing.__doc__ or '')
    ]
    assert not found, '\n' + '\n'.join(found)


def test_arrays_say_their_shape():
    found = []
    for path, thing in public_objects().items():
        doc = get_doc_object(thing)
        for section in ('Parameters', 'Returns'):
            for parameter in doc[section]:
                text = f'{parameter.type} {" ".join(parameter.desc)}'
                if 'ndarray' in parameter.type and not re.search(
                    r'\b\w+D\b|\bshape\b|\(\w+, ?(\w+|\))|^dict of|^pytree of', text
                ):
                    found.append(f'{path}: {parameter.name} : {parameter.type}')
    assert not found, '\n' + '\n'.join(found)
