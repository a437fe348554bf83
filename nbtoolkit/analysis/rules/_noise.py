"""The gradient noise scale beside the batch size."""

from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.robust import since
from nbtoolkit.analysis.rule import Sign, rule

FAR = 10.0
LEAST = 3  # readings
SIZE = "batch"  # run.log(batch=64)


@rule(
    "gradient noise scale",
    severity="note",
    needs=(("gradient_noise_scale",), (SIZE,)),
    reference="McCandlish et al. (2018), arXiv:1812.06162, section 2.2",
    advice="",
)
def noise_scale(data: Recorded) -> Iterator[Sign]:
    """The noise scale is above ten times the batch size, or below a tenth of it, in the last three readings.

    The batch size is what was logged last, ``run.log(batch=64)``: no loop tells it by itself. Of each reading it is the
    lower, or upper, end of one standard error that counts. Far above, a step on twice the examples makes nearly twice
    the progress; far below, half the examples would do nearly as well.
    """
    size = float(data.curve(SIZE, SIZE)[1][-1:].sum())
    group = data.groups["gradient_noise_scale"]
    scale, error = group.rows("noise_scale"), group.rows("noise_scale_error")
    if not size > 0 or scale is None or error is None:
        return
    known = np.flatnonzero(np.isfinite(scale))
    if len(known) < LEAST:
        return
    scale, error = scale[known], np.nan_to_num(error[known])
    for outside, word, line, advice in (
        (scale - error > FAR * size, "above", FAR * size, "Larger batches, or accumulated gradients, with a higher "
         "learning rate need fewer steps for the same progress."),
        (scale + error < size / FAR, "below", size / FAR, "Smaller batches give nearly the same progress in each step "
         "with fewer examples."),
    ):  # fmt: skip
        if not outside[-LEAST:].all():
            continue
        began = int(group.steps[known][since(outside)])
        yield Sign(
            began, f"the gradient noise scale is far {word} the batch size",
            f"noise scale {scale[-1]:.3g} +- {error[-1]:.2g} examples at step {group.steps[known[-1]]}, batches of "
            f"{size:g}", f"line {line:g}", "gradient_noise_scale", advice=advice,
        )  # fmt: skip
