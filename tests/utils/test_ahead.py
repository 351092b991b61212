# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Work that is done while its last result is used.
"""

import threading

import pytest

from clustercnn._utils.ahead import ahead


def test_one_item_is_worked_on_while_the_last_is_used():
    started = [threading.Event() for _ in range(4)]

    def square(number):
        started[number].set()
        return number * number

    found = []
    for result in ahead(square, range(4)):
        following = len(found) + 1
        if following < 4:
            assert started[following].wait(timeout=60)
        # no more than one, so that memory is bounded
        assert not any(event.is_set() for event in started[following + 1 :])
        found.append(result)
    assert found == [0, 1, 4, 9]
    assert list(ahead(square, [])) == []


def test_an_error_comes_in_its_turn_and_leaves_no_thread():
    def invert(number):
        return 1 / number

    before = threading.active_count()
    results = ahead(invert, [1, 2, 0, 4])
    assert [next(results), next(results)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)
    for _ in ahead(invert, [1, 2, 3]):
        break
    assert threading.active_count() == before
