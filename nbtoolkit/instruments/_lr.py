"""The learning rate and momentum that the step used."""

from nbtoolkit.instruments._base import Var, instrument


@instrument(
    outputs={
        "lr": Var(("group",), units="1", long_name="learning rate"),
        "momentum": Var(("group",), units="1", long_name="momentum"),
    },
    cost=lambda settings: 0,
    every=1,
    reference="the optimizer's parameter groups at its step",
)
def lr(lr, momentum, /):
    """Learning rate eta_t and momentum of each parameter group, as used in step t.

    Momentum is ``momentum`` where the group has one, else the first of ``betas``; a group with
    neither is NaN.
    """
    return {"lr": lr, "momentum": momentum}
