"""Rows of a store as xarray reads them: what is taken from a Dataset, not more."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

if TYPE_CHECKING:
    from nbtoolkit.store.stored import StoredColumns


class Lazy(BackendArray):
    """One variable as xarray reads it: only what is looked at."""

    def __init__(self, columns: "StoredColumns", key: str) -> None:
        self.array, self._columns, self._key = columns.arrays[key], columns, key
        self.shape = (len(columns), *columns.sizes[key])
        self.dtype = np.dtype(np.float64)

    @cached_property
    def _fits(self) -> bool:
        return self.array.shape[1:] == self.shape[1:]

    def __getitem__(self, key: Any) -> Any:
        """Values."""
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._take)

    def _take(self, key: tuple[Any, ...]) -> np.ndarray:
        if not self._fits:
            return self._columns.read(self._key, 0, self.shape[0])[np.ix_(*map(_places, key, self.shape))]
        pairs = zip(key, self.shape, strict=True)  # the array may have room for more rows
        within = [slice(*one.indices(size)) if isinstance(one, slice) else one for one, size in pairs]
        return np.asarray(self.array.oindex[tuple(within)])


def _places(key: Any, size: int) -> np.ndarray:
    return np.atleast_1d(np.arange(size)[key])
