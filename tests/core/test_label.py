# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from clustercnn import LabelSchema, LabelSet, PredictionSet
from clustercnn.core import UNKNOWN
from clustercnn.testing import tiny_prediction


def test_unknown_is_a_state_not_a_class():
    labels = LabelSet.from_labels(['a', 'b'], ['unknown', 'galaxy'])
    np.testing.assert_array_equal(labels.hard(), [UNKNOWN, 2])
    np.testing.assert_array_equal(labels.known, [False, True])
    assert np.isnan(labels.soft()[0]).all()
    assert np.isnan(labels.binary()[0])
    assert labels.counts()['unknown'] == 1
    for name in ('unknown', 'Unknown ', 'NaN', ' '):
        with pytest.raises(ValueError, match='states of a label'):
            LabelSchema(('cluster', name))


def test_votes_become_shares_and_no_votes_are_unknown():
    labels = LabelSet.from_votes(['a', 'b'], [[3, 1, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(labels.soft()[0], [0.75, 0.25, 0, 0])
    assert not labels.known[1]


@pytest.mark.parametrize(
    ('classes', 'positive'),
    [
        (('No', 'Yes'), 'Yes'),
        (('0', '1'), '1'),
        (('False', 'True'), 'True'),
        (('Not a cluster', 'Cluster'), 'Cluster'),
        (('non-cluster', 'none', 'Group'), 'Group'),
        (('other', 'cluster'), 'cluster'),
        (('nonthermal', 'thermal'), 'nonthermal'),
        (('nova', 'no nova'), 'nova'),
        (('no', 'none'), 'no'),
        (('Maybe', 'No', 'Yes'), 'Yes'),
        (('n', 'y'), 'y'),
        (('Artifact', 'Cluster', 'Star'), 'Cluster'),
        (('AGN', 'Galaxy cluster', 'Star'), 'Galaxy cluster'),
        (('background', 'source'), 'source'),
        (('other', 'star'), 'star'),
        (('0', '1', '2'), '1'),
        (('2', '1'), '2'),
        (("Isn't a cluster", 'Lens'), 'Lens'),
        # letters of other alphabets end no word
        (('nébuleuse', 'étoile'), 'nébuleuse'),
        (('galaksi', 'y\u0131ld\u0131z'), 'galaksi'),
        (('não', 'sim'), 'sim'),
        (('нет', 'да'), 'да'),
        # nor is every letter an answer
        (('L dwarf', 'T dwarf', 'Y dwarf'), 'L dwarf'),
        (('N galaxy', 'Seyfert'), 'N galaxy'),
        (('N/A', 'ring'), 'ring'),
        (('n (none)', 'y (some)'), 'y (some)'),
        # nor is doubt a find
        (("Don't know", 'Lens', 'No lens'), 'Lens'),
        (('I can\u2019t tell', 'Ring'), 'Ring'),
        (('Cannot say whether cluster', 'No', 'Cluster, relaxed'), 'Cluster, relaxed'),
        (('Do not know', 'Star'), 'Star'),
        (('uncertain', 'wreck'), 'wreck'),
        (('Canis', 'Lupus'), 'Canis'),
    ],
)
def test_what_is_looked_for_is_no_denial(classes, positive):
    assert LabelSchema(classes).positive == (positive,)
    # whoever says what is looked for, gets that
    if 'cluster' not in classes:
        assert LabelSchema(classes, classes[0]).positive == (classes[0],)


def test_all_that_say_yes_are_looked_for():
    schema = LabelSchema(('No', 'Yes, a large one', 'Yes, a small one'))
    assert schema.positive == ('Yes, a large one', 'Yes, a small one')
    # of nothing but clusters not all are looked for
    assert LabelSchema(('merging cluster', 'relaxed cluster')).positive == ('merging cluster',)


def test_several_classes_can_be_positive():
    schema = LabelSchema(('low-z', 'hi-z', 'galaxy', 'point', 'other'), ('low-z', 'hi-z'))
    labels = LabelSet.from_votes(['a'], [[1, 2, 1, 0, 0]], schema=schema)
    assert labels.binary()[0] == pytest.approx(0.75)
    assert schema.positive_codes == (0, 1)


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['cluster', 'quasar'], "the first 'quasar' in row 1"),
        (['True', 'False'], '2 labels are not classes'),
    ],
)
def test_other_names_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        LabelSet.from_labels(['a', 'b'], names)


def test_booleans_are_no_codes():
    with pytest.raises(TypeError, match='whole numbers'):
        LabelSet.from_codes(['a'], np.array([True]))


def test_codes_out_of_range_are_refused():
    with pytest.raises(ValueError, match='the first 4 in row 1'):
        LabelSet.from_codes(['a', 'b'], [0, 4])


@pytest.mark.parametrize(
    'row', [[0.5, 0.4, 0, 0], [1.5, -0.5, 0, 0], [np.nan, 1, 0, 0], [np.inf, 0, 0, 0]]
)
def test_rows_must_be_probabilities(row):
    with pytest.raises(ValueError, match=r"row 0 \('a'\) is not a probability"):
        LabelSet(ids=['a'], probability=[row])


def test_schema_refuses_nonsense():
    with pytest.raises(ValueError, match='at least two classes'):
        LabelSchema(('cluster',))
    with pytest.raises(ValueError, match='not among'):
        LabelSchema(('a', 'b'), ('c',))
    with pytest.raises(TypeError, match='the text'):
        LabelSchema('cluster')


def test_prediction_sums_the_positive_classes():
    schema = LabelSchema(('low-z', 'hi-z', 'point'), ('low-z', 'hi-z'))
    prediction = PredictionSet(ids=['a'], probability=[[0.5, 0.3, 0.2]], schema=schema)
    assert prediction.p_positive[0] == pytest.approx(0.8)
    assert list(prediction.columns()) == ['p_cluster', 'p_low-z', 'p_hi-z', 'p_point']


def test_prediction_must_be_probabilities():
    with pytest.raises(ValueError, match='not a probability'):
        PredictionSet(ids=['a'], probability=[[0.5, 0.3, 0.3, 0.3]])


def test_predictions_become_columns():
    table = tiny_prediction(3).to_table()
    assert table.colnames == [
        'id',
        'p_cluster',
        'p_point',
        'p_galaxy',
        'p_other',
        'p_cluster_std',
        'ood',
    ]
    assert len(tiny_prediction(0).to_table()) == 0


def test_probabilities_of_many_positive_classes_stay_probabilities():
    schema = LabelSchema(('a', 'b', 'c', 'd'), ('a', 'b', 'c'))
    probability = np.random.default_rng(1).dirichlet([1, 1, 1, 0.01], 2000)
    labels = LabelSet(ids=[str(row) for row in range(2000)], schema=schema, probability=probability)
    assert labels.binary().max() <= 1
