"""What a claim is: a number, and the bounds that it must keep."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Claim:
    """A measured value with its bounds, both included; NaN keeps none."""

    name: str
    value: float
    low: float = -inf
    high: float = inf

    @property
    def holds(self) -> bool:
        return self.low <= self.value <= self.high

    @property
    def bound(self) -> str:
        if self.low == -inf:
            return f"<= {self.high:g}"
        return f">= {self.low:g}" if self.high == inf else f"{self.low:g} to {self.high:g}"
