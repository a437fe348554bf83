"""Panels draw the numbers of the Dataset, and each variable finds its panel by its dims."""

from typing import Any

import numpy as np
import pytest
import xarray
from bokeh.models import AllLabels, ColumnDataSource, LabelSet, Legend, LinearScale, LogScale, NoOverlap

from nbtoolkit import panels
from nbtoolkit.panels import curves, evolution, heatmap, look, matrix, spectrum, table
from nbtoolkit.store.columns import Columns
from nbtoolkit.store.schema import Var


def dataset(variables: dict[str, Var], rows: int = 30, **labels: list) -> xarray.Dataset:
    columns = Columns("group", variables, {"reference": "us"})
    rng = np.random.default_rng(3)
    values = {
        key: rng.lognormal(size=(rows, *(len(labels[dim]) for dim in var.dims))) for key, var in variables.items()
    }
    columns.append(np.arange(rows) * 2, values, labels)
    return columns.dataset().copy(deep=True)


TERMS = {"terms": Var(("term",), "loss", "terms of the loss")}
NORMS = {"norm": Var(("param",), "loss/param", "gradient norm", "log")}


@pytest.mark.parametrize(
    ("dims", "module"),
    [
        ((), curves), (("step",), curves), (("group",), curves), (("term",), curves), (("step", "param"), heatmap),
        (("layer",), heatmap), (("rank",), curves), (("radius",), curves), (("batch_size",), curves),
        (("probe", "node"), spectrum), (("node", "probe"), spectrum), (("node",), table),
        (("bin",), table), (("task_trained", "task_evaluated"), matrix),
    ],
)  # fmt: skip
def test_the_panel_follows_from_the_dims(dims, module):
    assert panels.find(dims) is module


def test_ritz_values_have_two_panels_together_with_their_weights():
    ritz, count = Var(("probe", "node"), "1", "eigenvalue"), Var((), "1", "count")
    variables = {"value": ritz, "outliers": count, "weight": ritz, "other": ritz, "other_weight": ritz, "alone": ritz}
    assert panels.split(variables) == [("value", "weight"), ("outliers",), ("other", "other_weight"), ("alone",)]
    assert panels.pictures(ritz.dims) == (spectrum, evolution)
    assert panels.pictures(("step",)) == (curves,)


def test_errors_and_lines_have_no_panel_and_a_line_is_shared_by_what_is_read_against_it():
    variables = {
        "sharpness": Var((), "loss", "sharpness", error="bound", line="edge"),
        "trace": Var((), "loss", "trace", line="edge"),
        "bound": Var((), "loss", "bound"),
        "edge": Var((), "loss", "edge"),
        "smallest": Var((), "loss", "smallest", error="gone"),
        "ratio": Var((), "1", "ratio", line=1.0),
    }
    assert panels.split(variables) == [("sharpness", "trace"), ("smallest",), ("ratio",)]


def test_variables_with_the_same_dims_units_and_scale_share_a_panel():
    variables = {
        "total": Var((), "param", "weight norm"),
        "distance": Var((), "param", "distance"),
        "ratio": Var((), "1", "ratio"),
        "share": Var((), "1", "share"),
        "norm": Var(("param",), "param", "norm"),
        "path": Var(("param",), "param", "path"),
        "speed": Var((), "param", "speed", "log"),
    }
    assert panels.split(variables) == [("total", "distance"), ("ratio",), ("share",), ("norm",), ("path",), ("speed",)]


def test_curves_draw_the_samples():
    ds = dataset(TERMS, term=["ce", "decay"])
    drawn = curves.columns(ds)
    for i, term in enumerate(["ce", "decay"]):
        expected = ds["terms"].sel(term=term)
        np.testing.assert_array_equal(drawn[f"x{i}"], expected["step"])
        np.testing.assert_array_equal(drawn[f"y{i}"], expected)
        np.testing.assert_array_equal(drawn[f"dot{i}"], expected)


def test_long_curves_are_thinned_to_real_samples_and_smoothed():
    ds = dataset({"loss": Var((), "loss", "loss")}, rows=9000)
    drawn = curves.columns(ds)
    assert len(drawn["x0"]) < 3 * look.DRAWN + 3
    np.testing.assert_array_equal(drawn["y0"], ds["loss"].sel(step=drawn["x0"]))
    assert drawn["y0"].max() == ds["loss"].max()
    assert np.isnan(drawn["dot0"]).all()
    assert drawn["smooth0"].std() < 0.5 * drawn["y0"].std()


@pytest.mark.parametrize("rows", [curves.PLENTY - 1, curves.PLENTY])
def test_few_samples_are_not_smoothed_lest_the_average_lags_behind(rows):
    drawn = curves.columns(dataset({"loss": Var((), "loss", "loss")}, rows=rows))
    assert np.array_equal(drawn["smooth0"], drawn["y0"]) == (rows < curves.PLENTY)
    assert np.isnan(drawn["dot0"]).all()


def test_settings_of_the_optimizer_and_logged_values_are_not_smoothed():
    settings = dataset({"lr": Var(("group",), "1", "learning rate")}, rows=200, group=[0])
    logged = dataset({"acc": Var((), "1", "acc")}, rows=200).assign_attrs(reference="run.log")
    for ds in (settings, logged):
        drawn = curves.columns(ds)
        np.testing.assert_array_equal(drawn["smooth0"], drawn["y0"])


def test_gaps_stay_gaps():
    ds = dataset({"loss": Var((), "loss", "loss")}, rows=9000)
    ds["loss"][4000:4100] = np.nan
    drawn = curves.columns(ds)
    gap = (drawn["x0"] >= 8000) & (drawn["x0"] < 8200)
    assert gap.any()
    assert np.isnan(drawn["y0"][gap]).all()
    assert np.isnan(drawn["smooth0"][gap]).all()


@pytest.mark.parametrize(("count", "kind"), [(2, LabelSet), (5, LabelSet), (6, Legend)])
def test_up_to_five_curves_are_named_at_their_ends_and_more_in_a_legend(count, kind):
    names = [f"term {i}" for i in range(count)]
    ds = dataset(TERMS, term=names)
    plot = curves.figure(ColumnDataSource(curves.columns(ds)), ds)
    assert {type(thing) for thing in plot.select({"type": (LabelSet, Legend)})} == {kind}
    if kind is LabelSet:
        ends = plot.select_one(LabelSet).source.data
        assert ends["text"] == names
        assert ends["y"] == ds["terms"][-1].values.tolist()
    else:
        assert plot.select_one(Legend).click_policy == "mute"


@pytest.mark.parametrize(("count", "named", "said"), [(8, 8, []), (9, 9, []), (10, 8, ["and 2 more"])])
def test_a_legend_is_no_higher_than_its_card(count, named, said):
    ds = dataset(TERMS, term=[f"term {i}" for i in range(count)])
    plot = curves.figure(ColumnDataSource(curves.columns(ds)), ds)
    assert [item.label.value for item in plot.select_one(Legend).items] == [*ds["term"].values[:named], *said]


def test_curves_of_one_colour_differ_in_their_dashes():
    ds = dataset(TERMS, term=[f"term {i}" for i in range(32)])
    plot = curves.figure(ColumnDataSource(curves.columns(ds)), ds)
    lines = [renderer.glyph for renderer in plot.renderers if str(renderer.glyph.y).startswith("smooth")]
    looks = [(glyph.line_color, tuple(glyph.line_dash)) for glyph in lines]
    assert len(set(looks)) == 32
    assert all(dash == () for _, dash in looks[:8])


def test_axes_come_from_the_variable():
    ds = dataset(NORMS | {}, param=["a"]).isel(param=0, drop=True)
    plot = curves.figure(ColumnDataSource(curves.columns(ds)), ds)
    assert (plot.xaxis[0].axis_label, plot.yaxis[0].axis_label) == ("step", "loss/param")
    assert isinstance(plot.y_scale, LogScale)
    assert isinstance(curves.figure(ColumnDataSource(curves.columns(ds)), ds, scale="linear").y_scale, LinearScale)
    assert plot.y_range.start < float(ds["norm"].min()) < float(ds["norm"].max()) < plot.y_range.end


def test_a_field_shows_at_every_place_the_sample_in_force():
    ds = dataset(NORMS, param=["first", "second", "third"])
    drawn = heatmap.columns(ds)
    image = drawn["image"][0]
    assert image.shape == (3, heatmap.COLUMNS)
    for column in (0, 100, 479):
        step = drawn["x"][0] + (column + 0.5) * drawn["dw"][0] / heatmap.COLUMNS
        row = ds["norm"].sel(step=slice(None, step)).isel(step=-1)
        np.testing.assert_array_equal(image[::-1, column], row)


def test_a_field_is_blank_where_nothing_was_measured():
    ds = dataset(NORMS, param=["a", "b"])
    ds["norm"][1:, 0] = np.nan
    image = heatmap.columns(ds)["image"][0][:, 1 + heatmap.COLUMNS // ds.sizes["step"] :]
    assert np.isnan(image[1]).all()
    assert not np.isnan(image[0]).any()
    plot = heatmap.figure(ColumnDataSource({k: list(v) for k, v in heatmap.columns(ds).items()}), ds)
    mapper = plot.select_one({"name": "colours"})
    assert mapper.nan_color == "rgba(0, 0, 0, 0)"
    assert (mapper.low, mapper.high) == (float(ds["norm"].min()), float(ds["norm"].max()))


def test_labels_that_never_have_a_value_have_no_row():
    ds = dataset(NORMS, param=["conv", "norm", "head"])
    whole = heatmap.columns(ds)["image"][0]
    ds["norm"][:, 1] = np.nan
    drawn = heatmap.columns(ds)
    np.testing.assert_array_equal(drawn["image"][0], whole[[0, 2]])
    assert drawn["dh"] == 2
    plot = heatmap.figure(ColumnDataSource({k: list(v) for k, v in drawn.items()}), ds)
    assert plot.yaxis[0].major_label_overrides == {1.5: "conv", 0.5: "head"}
    assert plot.y_range.end == 2
    ds["norm"][:] = np.nan  # not known yet: all have their place
    assert heatmap.columns(ds)["dh"] == 3
    assert heatmap.names(ds) == ["conv", "norm", "head"]


def test_rows_of_a_field_are_labelled_from_the_top_and_not_too_many():
    names = [f"blocks.{i}.attention.output.weight" for i in range(147)]
    ds = dataset(NORMS, rows=3, param=names)
    plot = heatmap.figure(ColumnDataSource({k: list(v) for k, v in heatmap.columns(ds).items()}), ds)
    written = plot.yaxis[0].major_label_overrides
    assert len(written) <= heatmap.ROWS
    assert written[max(written)] == heatmap.short(names[0])
    assert all(len(text) <= heatmap.LETTERS for text in written.values())


def test_a_long_label_keeps_its_end_and_is_cut_at_a_dot():
    assert heatmap.short("0.weight") == "0.weight"
    assert heatmap.short("transformer.encoder.layers.3.self_attn.in_proj_weight") == "…in_proj_weight"
    assert heatmap.short("transformer.h.11.mlp.c_fc.weight") == "…mlp.c_fc.weight"
    assert heatmap.short("a_name_without_any_dot_in_it") == "…out_any_dot_in_it"


def test_panels_begin_at_the_same_place_and_steps_are_whole():
    ds = dataset(NORMS, param=["a"])
    field = heatmap.figure(ColumnDataSource({k: list(v) for k, v in heatmap.columns(ds).items()}), ds)
    curve = dataset({"loss": Var((), "loss", "loss")})
    line = curves.figure(ColumnDataSource(curves.columns(curve)), curve)
    assert field.min_border_left == line.min_border_left == look.GUTTER
    for plot in (field, line):
        assert plot.select_one({"name": "x_ticks"}).min_interval == 1
        assert isinstance(plot.xaxis[0].major_label_policy, NoOverlap)
    # Labels of rows are chosen by their number; close as they are, none may be left out.
    assert isinstance(field.yaxis[0].major_label_policy, AllLabels)


def test_the_first_and_the_last_dot_are_inside_the_frame():
    ds = dataset({"loss": Var((), "loss", "loss")}, rows=3)
    plot = curves.figure(ColumnDataSource(curves.columns(ds)), ds)
    assert plot.x_range.start < 0
    assert plot.x_range.end > 4


def test_the_table_shows_the_last_step():
    ds = dataset({"density": Var(("bin",), "1", "density")}, bin=[0.5, 1.5])
    ds["density"][-1, 1] = np.nan
    drawn = table.columns(ds)
    assert drawn["label"].tolist() == ["0.5", "1.5"]
    assert drawn["value"].tolist() == [f"{float(ds['density'][-1, 0]):.4g}", ""]


@pytest.mark.parametrize("module", [curves, heatmap, table])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_every_panel_can_be_built_without_rows(module, scale):
    ds = dataset(NORMS, param=["a"]).isel(step=slice(0, 0))
    drawn: dict[str, Any] = {key: list(values) for key, values in module.columns(ds).items()}
    assert module.figure(ColumnDataSource(drawn, name="data"), ds, scale=scale).select_one({"name": "x_range"})
