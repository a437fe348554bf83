"""The only part that knows IPython: ``%load_ext nbtoolkit`` brings ``%landscape``."""

from nbtoolkit.magics.landscape import load_ipython_extension as load_ipython_extension
from nbtoolkit.magics.landscape import unload_ipython_extension as unload_ipython_extension
