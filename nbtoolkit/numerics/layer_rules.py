"""Rules for the functions, methods and modules of torch, by name."""

from collections.abc import Callable
from typing import Any

from torch import nn

from nbtoolkit.numerics import axis_rules as rules
from nbtoolkit.numerics import shape_rules as shapes
from nbtoolkit.numerics import weight_rules as weights
from nbtoolkit.numerics.axes import FIXED, Segment
from nbtoolkit.numerics.axis_rules import Call, Labelled

_ELEMENTWISE = """
    abs add addcdiv addcmul and and_ celu ceil clamp clamp_max clamp_min clip cos div eq elu erf exp expm1 floor ge gelu
    gt hardshrink hardsigmoid hardswish hardtanh iadd imul isfinite isnan isub itruediv le leaky_relu lerp log log1p
    log_softmax logical_and logical_not logical_or logsigmoid logit lt masked_fill maximum minimum mish mul ne neg
    negative pow reciprocal relu relu6 round rsqrt rsub selu sigmoid sign silu sin softmax softmin softplus softshrink
    softsign sqrt square sub tanh tanhshrink threshold true_divide truediv where
"""
_SAME = """
    alpha_dropout bfloat16 clone contiguous cpu cuda detach double dropout dropout1d dropout2d dropout3d
    feature_alpha_dropout float half identity instance_free normalize positive requires_grad_ to type type_as
    zeros_like ones_like
"""
_CONSTANT = "arange empty full new_empty new_full new_ones new_zeros ones rand randn tensor zeros"
_REDUCED = "all amax amin any logsumexp mean nansum prod std sum var"
_SELECTED = "argmax argmin max median min"
_RESHAPED = "flatten ravel reshape reshape_as squeeze unflatten unsqueeze view view_as"

FUNCTIONS: dict[str, rules.Rule] = {
    **dict.fromkeys(_ELEMENTWISE.split(), rules.elementwise),
    **dict.fromkeys(_SAME.split(), rules.same),
    **dict.fromkeys(_CONSTANT.split(), rules.constant),
    **dict.fromkeys(_REDUCED.split(), rules.reduced),
    **dict.fromkeys(_SELECTED.split(), rules.selected),
    **dict.fromkeys(_RESHAPED.split(), shapes.reshaped),
    **dict.fromkeys(("norm", "vector_norm"), rules.normed),
    **dict.fromkeys(("bmm", "matmul", "mm"), rules.product),
    **dict.fromkeys(("cat", "concat", "concatenate"), shapes.joined),
    **dict.fromkeys(("chunk", "split", "tensor_split"), shapes.divided),
    **dict.fromkeys(("broadcast_to", "expand", "expand_as"), shapes.expanded),
    **dict.fromkeys(("T", "mT", "adjoint", "swapaxes", "swapdims", "t", "transpose"), shapes.transposed),
    **{
        f"{kind}_{pool}_pool{n}d": shapes.local(n)
        for kind in ("adaptive", "") for pool in ("avg", "max") for n in (1, 2, 3)
    },
    **{f"{pool}_pool{n}d": shapes.local(n) for pool in ("avg", "max", "lp") for n in (1, 2, 3)},
    **{f"conv{n}d": weights.convolution(n) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": weights.transposed_convolution(n) for n in (1, 2, 3)},
    "batch_norm": weights.batch_norm,
    "einsum": rules.einsum,
    "embedding": weights.embedding,
    "group_norm": weights.group_norm,
    "interpolate": shapes.local(),
    "layer_norm": weights.layer_norm,
    "linear": weights.linear,
    "pad": shapes.padded,
    "permute": shapes.permuted,
    "prelu": weights.prelu,
    "repeat": shapes.repeated,
    "rms_norm": weights.layer_norm,
    "scaled_dot_product_attention": rules.attention,
    "stack": shapes.stacked,
    "unbind": shapes.unbound,
}  # fmt: skip

Own = Callable[[str], Labelled | None]  # a parameter or buffer of the module, by name
ModuleRule = Callable[..., Any]


def _linear(call: Call, own: Own, module: nn.Linear, x: Labelled) -> Any:
    return weights.linear(call, x, _present(own("weight")), own("bias"))


def _convolution(call: Call, own: Own, module: Any, x: Labelled, *_: Any) -> Any:
    kind = weights.transposed_convolution if module.transposed else weights.convolution
    rule = kind(len(module.kernel_size))
    return rule(call, x, _present(own("weight")), own("bias"), groups=module.groups)


def _batch_norm(call: Call, own: Own, module: Any, x: Labelled) -> Any:
    own("num_batches_tracked")
    return weights.batch_norm(call, x, *map(own, ("running_mean", "running_var", "weight", "bias")))


def _instance_norm(call: Call, own: Own, module: Any, x: Labelled) -> Any:
    own("num_batches_tracked")
    spatial = {"1": 1, "2": 2, "3": 3}[type(module).__name__[-2]]
    entries = map(own, ("running_mean", "running_var", "weight", "bias"))
    return weights.channelwise(call, x, x.value.ndim - spatial - 1, *entries)


def _layer_norm(call: Call, own: Own, module: Any, x: Labelled) -> Any:
    bias = own("bias") if "bias" in module._parameters else None
    return weights.layer_norm(call, x, module.normalized_shape, own("weight"), bias)


def _group_norm(call: Call, own: Own, module: nn.GroupNorm, x: Labelled) -> Any:
    return weights.group_norm(call, x, module.num_groups, own("weight"), own("bias"))


def _prelu(call: Call, own: Own, module: nn.PReLU, x: Labelled) -> Any:
    return weights.prelu(call, x, _present(own("weight")))


def _embedding(call: Call, own: Own, module: nn.Embedding, x: Labelled) -> Any:
    return weights.embedding(call, x, _present(own("weight")))


def _attention(
    call: Call, own: Own, module: nn.MultiheadAttention, query: Labelled, key: Labelled, value: Labelled, *args: Any,
    **kwargs: Any,
) -> Any:  # fmt: skip
    """Heads move whole, the same in queries, keys, values and the projection of their outputs."""
    heads = call.groups.new(module.num_heads)
    parts = (Segment(heads[0].group, module.num_heads, module.head_dim),)
    for given in (query, key, value):
        call.pin(*given.axes[:-1])
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    separate = [own(name) for name in names]
    for place, given in enumerate((query, key, value)):
        weight = separate[place] or _present(own("in_proj_weight"))
        call.unite(weight.axes[1], given.axes[-1])
        call.unite(weight.axes[0], parts if separate[place] else parts * 3)
    for name, repeats in (("in_proj_weight", 0), ("in_proj_bias", 3), ("bias_k", 1), ("bias_v", 1)):
        if (entry := own(name)) is not None and repeats:
            call.still(*entry.axes[:-1])
            call.unite(entry.axes[-1], parts * repeats)
    masks = [mask for mask in rules.tensors((args, kwargs)) if mask.value.ndim > 2]
    if masks or not kwargs.get("average_attn_weights", True):
        call.pin(heads)  # there is one mask, or one matrix of weights, for each head
    out = weights.linear(
        call, Labelled(query.value, (*query.axes[:-1], parts)), _present(own("out_proj.weight")), own("out_proj.bias")
    )
    return out, None if call.out[1] is None else [FIXED] * call.out[1].ndim


def _encoder_layer(call: Call, own: Own, module: nn.TransformerEncoderLayer, x: Labelled, *args: Any, **kw: Any) -> Any:
    """Residual stream and hidden units permute; which norm comes first does not matter to the axes."""
    activation = getattr(module.activation, "__name__", type(module.activation).__name__).lower()
    if FUNCTIONS.get(activation) is not rules.elementwise:
        raise ValueError(f"{call.place}: its activation {activation} is not known")
    masks = {"mask": tuple(rules.tensors((args, kw)))} if rules.tensors((args, kw)) else {}

    def within(name: str) -> Own:
        return lambda entry: own(f"{name}.{entry}")

    inner = Call(call.groups, call.place, (x.value, None))
    attended, _ = _attention(inner, within("self_attn"), module.self_attn, x, x, x, **masks)
    hidden = _linear(inner, within("linear1"), module.linear1, x)
    made = Labelled(x.value, tuple(hidden))
    for axes in (attended, _linear(inner, within("linear2"), module.linear2, made)):
        call.unite(axes[-1], x.axes[-1])
    for name in ("norm1", "norm2"):
        norm = getattr(module, name)
        module_rule(norm)(inner, within(name), norm, x)
    return x.axes


def _encoder(call: Call, own: Own, module: nn.TransformerEncoder, x: Labelled, *args: Any, **kwargs: Any) -> Any:
    for place, layer in enumerate(module.layers):
        if type(layer) is not nn.TransformerEncoderLayer:
            raise ValueError(f"{call.place}: a layer of it is a {type(layer).__name__}, which is not known")
        _encoder_layer(call, lambda entry, place=place: own(f"layers.{place}.{entry}"), layer, x, *args, **kwargs)
    if module.norm is not None:
        module_rule(module.norm)(call, lambda entry: own(f"norm.{entry}"), module.norm, x)
    return x.axes


def _present(entry: Labelled | None) -> Labelled:
    if entry is None:
        raise ValueError("a weight is no parameter of its module (is it parametrised?)")
    return entry


def _plain(rule: rules.Rule) -> ModuleRule:
    return lambda call, own, module, *args, **kwargs: rule(call, *args, **kwargs)


def _spatial(module: nn.Module) -> int:
    return int(next(letter for letter in type(module).__name__ if letter.isdigit()))


def _local(call: Call, own: Own, module: nn.Module, x: Labelled) -> Any:
    return shapes.local(_spatial(module))(call, x)


_BY_NAME: dict[str, ModuleRule] = {
    **{name: _plain(rules.elementwise) for name in """
        CELU ELU GELU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish ReLU ReLU6 SELU
        SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh Tanhshrink Threshold
    """.split()},
    **{name: _plain(rules.same) for name in """
        AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout Identity
    """.split()},
    **{name: _plain(shapes.reshaped) for name in ("Flatten", "Unflatten")},
    **{f"{kind}{pool}Pool{n}d": _local
       for kind in ("Adaptive", "") for pool in ("Avg", "Max", "LP") for n in (1, 2, 3)},
    **{f"{kind}Pad{n}d": _local for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular")
       for n in (1, 2, 3)},
    **{name: _plain(shapes.local()) for name in ("Upsample", "UpsamplingNearest2d", "UpsamplingBilinear2d")},
    **{f"{kind}{n}d": _convolution for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)},
    **{name: _batch_norm for name in ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm")},
    **{f"InstanceNorm{n}d": _instance_norm for n in (1, 2, 3)},
    "Embedding": _embedding, "GroupNorm": _group_norm, "LayerNorm": _layer_norm, "Linear": _linear,
    "MultiheadAttention": _attention, "NonDynamicallyQuantizableLinear": _linear, "PReLU": _prelu,
    "RMSNorm": _layer_norm, "TransformerEncoder": _encoder, "TransformerEncoderLayer": _encoder_layer,
}  # fmt: skip


def module_rule(module: nn.Module) -> ModuleRule:
    """The rule of a module.

    Raises:
        ValueError: there is none.
    """
    rule = _BY_NAME.get(type(module).__name__) if type(module).__module__.startswith("torch.nn.modules.") else None
    if rule is None:
        raise ValueError(f"what {type(module).__name__} does to an order of units is not known")
    return rule
