"""The training loss of each step."""

from nbtoolkit.instruments._base import Var, instrument


@instrument(
    outputs={
        "loss": Var((), units="loss", long_name="training loss"),
        "terms": Var(("term",), units="loss", long_name="terms of the training loss"),
    },
    cost=lambda settings: 0,
    every=1,
    reference="the tensor on which the loop calls backward()",
    combine={"loss": "mean", "terms": "mean"},
)
def loss(loss, loss_terms, /):
    """Loss whose gradient the step follows, L(theta_t), and its named additive terms.

    Several backward passes before one step are one step: their losses add, as their gradients
    do. The value is that of the mini-batch, at the parameters before the step, unscaled when a
    GradScaler is used. ``terms`` (term,) holds what was given to ``run.log_terms``; terms that
    make up the whole loss sum to it. Where several processes share out the batch, both are means over them.
    """
    return {"loss": loss, "terms": list(loss_terms.values())}
