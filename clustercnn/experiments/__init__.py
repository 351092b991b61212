# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Published experiments, made again with this package.
"""

from clustercnn.experiments.config import Curve, Kosiba2020Config
from clustercnn.experiments.kosiba2020 import run_kosiba2020

__all__ = ['Curve', 'Kosiba2020Config', 'run_kosiba2020']
