"""A Trainer of Transformers that is watched: what is recorded, how it ends and goes on; nothing else changes."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import EarlyStoppingCallback, LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback
from transformers import TrainingArguments as Arguments

import nbtoolkit
from nbtoolkit import instruments
from nbtoolkit.bridges import transformers as bridge
from nbtoolkit.bridges.transformers import LandscapeCallback
from nbtoolkit.errors import StoreError

BATCH, TOKENS, WORDS = 4, 7, 11
MEASURED = [
    instruments.loss, instruments.lr, instruments.grad_norm, instruments.update_ratio.using(every=1),
    instruments.weight_norm.using(every=1),
]  # fmt: skip
Example = dict[str, Tensor]


def examples() -> list[Example]:
    """Of different lengths, so that a mean of means is not the mean."""
    generator = torch.Generator().manual_seed(5)
    rows = torch.randint(0, WORDS, (32, TOKENS), generator=generator)
    hidden = torch.arange(TOKENS) >= torch.randint(3, TOKENS, (32, 1), generator=generator)
    labels = rows.masked_fill(hidden, -100)
    return [{"input_ids": row, "labels": label} for row, label in zip(rows, labels, strict=True)]


def llama(dropout: float = 0.0) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=16, attention_dropout=dropout,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def trainer(path: Path, *callbacks: TrainerCallback, model: nn.Module | None = None, **options: Any) -> Trainer:
    usual: dict[str, Any] = {
        "per_device_train_batch_size": BATCH, "num_train_epochs": 2, "learning_rate": 1e-2, "optim": "adamw_torch",
        "train_sampling_strategy": "sequential", "report_to": "none", "disable_tqdm": True, "use_cpu": True,
        "dataloader_pin_memory": False, "logging_steps": 4, "save_strategy": "no", "max_grad_norm": 0.0, "seed": 1,
    }  # fmt: skip
    data = examples()
    return Trainer(
        model or llama(), Arguments(str(path), **{**usual, **options}), train_dataset=data, eval_dataset=data[:8],
        callbacks=list(callbacks),
    )  # fmt: skip


def plain(model: LlamaForCausalLM, optimizer: Any, *, accumulate: int, clip: float, half: bool) -> Iterator[float]:
    """The loop that the Trainer makes; gives the loss of every step."""
    data: Any = examples()
    batches = torch.utils.data.DataLoader(data, BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / (16 // accumulate)))
    for _ in range(2):
        kept = []
        for batch in batches:
            kept.append(batch)
            if len(kept) < accumulate:
                continue
            items, total = sum(int((one["labels"][:, 1:] != -100).sum()) for one in kept), 0.0
            optimizer.zero_grad()
            for one in kept:
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    logits = model(one["input_ids"]).logits.float()
                    # The last word has no target; it stays in, as in the Trainer, for matrices of the same shapes.
                    targets = F.pad(one["labels"], (0, 1), value=-100)[:, 1:]
                    loss = F.cross_entropy(logits.reshape(-1, WORDS), targets.reshape(-1), reduction="sum") / items
                loss.backward()
                total += loss.item()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            schedule.step()
            kept = []
            yield total


CASES = {
    "plain": {},
    "accumulated": {"accumulate": 2},
    "clipped": {"clip": 0.2},
    "bf16, accumulated, clipped": {"accumulate": 2, "clip": 0.2, "half": True},
}


def of_trainer(accumulate: int = 1, clip: float = 0.0, half: bool = False) -> dict[str, Any]:
    return {"gradient_accumulation_steps": accumulate, "max_grad_norm": clip, "bf16": half}


def began(callback: LandscapeCallback) -> nbtoolkit.Run:
    assert callback.run is not None
    return callback.run


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_numbers_are_those_of_the_plain_loop(tmp_path: Path, case: dict[str, Any]) -> None:
    model = llama()
    # The Trainer decays none of the weights of norms, and has two groups for that.
    groups = [[p for name, p in model.named_parameters() if ("norm" in name) is norm] for norm in (False, True)]
    optimizer = torch.optim.AdamW([{"params": group} for group in groups], lr=1e-2, weight_decay=0.0)
    with nbtoolkit.watch(model, optimizer, instruments=MEASURED) as expected:
        losses = list(plain(model, optimizer, **{"accumulate": 1, "clip": 0.0, "half": False, **case}))

    callback = LandscapeCallback(instruments=MEASURED)
    trained = trainer(tmp_path, callback, **of_trainer(**case))
    trained.train()

    run = began(callback)
    assert (run.state, run.step, run.notes) == ("finished", trained.state.global_step, [])
    assert run.name == "LlamaForCausalLM"
    # The mean over the tokens of all batches of the step: what the Trainer divides by is in the graph.
    np.testing.assert_allclose(run["loss"].loss, losses, rtol=1e-6)
    for item in MEASURED:
        for name, values in expected[item.name].items():
            np.testing.assert_allclose(run[item.name][name], values, rtol=1e-6, atol=1e-9, err_msg=str(name))
        np.testing.assert_array_equal(run[item.name].step, expected[item.name].step)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_training_is_unchanged_bit_for_bit(tmp_path: Path, case: dict[str, Any]) -> None:
    trained = []
    sharp = [*MEASURED, instruments.sharpness.using(every=4)]
    for callbacks in ([], [LandscapeCallback(instruments=sharp)]):
        model = llama(dropout=0.2)
        one = trainer(tmp_path, *callbacks, model=model, **of_trainer(**case), eval_strategy="epoch")
        one.train()
        optimizer: Any = one.optimizer
        state = optimizer.state_dict()["state"]
        tensors = [*model.state_dict().values(), *(part for own in state.values() for part in own.values())]
        trained.append([*tensors, torch.get_rng_state()])
    assert all(map(torch.equal, *trained))


def test_what_the_trainer_logs_is_recorded_at_the_steps_done(tmp_path: Path) -> None:
    callback = LandscapeCallback()
    trained = trainer(tmp_path, callback, eval_strategy="epoch", max_grad_norm=0.5)
    trained.train()
    run = began(callback)
    assert run["logged_loss"].step.values.tolist() == [4, 8, 12, 16]
    means = run["loss"].loss.values.reshape(4, 4).mean(1)
    np.testing.assert_allclose(run["logged_loss"].logged_loss, means, atol=1e-4)  # the Trainer logs four digits
    assert run["eval_loss"].step.values.tolist() == [8, 16]
    assert {"logged_grad_norm", "learning_rate", "train_loss"} < run.record.groups.keys()
    assert not any("runtime" in name or "per_second" in name or name == "epoch" for name in run.record.groups)


def test_early_stopping_is_a_normal_end(tmp_path: Path) -> None:
    callback, stopping = LandscapeCallback(), EarlyStoppingCallback(1, early_stopping_threshold=9.0)
    trained = trainer(
        tmp_path, callback, stopping, eval_strategy="steps", eval_steps=2, save_strategy="steps", save_steps=2,
        load_best_model_at_end=True, metric_for_best_model="eval_loss",
    )  # fmt: skip
    trained.train()
    assert (began(callback).state, began(callback).step) == ("finished", 4)


class At(TrainerCallback):
    """Calls a function after some steps."""

    def __init__(self, step: int, then: Any) -> None:
        self.step, self.then = step, then

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == self.step:
            self.then()


@pytest.mark.parametrize(("error", "state"), [(ZeroDivisionError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_an_exception_ends_the_run(tmp_path: Path, error: type[BaseException], state: str) -> None:
    def fail() -> None:
        raise error

    callback = LandscapeCallback(store=tmp_path / "run.zarr")
    with pytest.raises(error):
        trainer(tmp_path, callback, At(5, fail)).train()
    assert (began(callback).state, began(callback).step, len(began(callback)["loss"].step)) == (state, 5, 5)
    assert nbtoolkit.open_run(tmp_path / "run.zarr").record.attrs["state"] == state


def test_the_trainer_is_left_as_it_was() -> None:
    gc.collect()
    before = Trainer.train
    callback = LandscapeCallback()
    assert Trainer.train is bridge._train
    del callback
    gc.collect()
    assert Trainer.train is before is bridge._original


def test_to_stop_the_run_ends_the_training_in_the_trainers_own_way(tmp_path: Path) -> None:
    callback = LandscapeCallback()
    trained = trainer(tmp_path, callback, At(5, lambda: began(callback).stop()), gradient_accumulation_steps=2)
    output = trained.train()
    assert (began(callback).state, began(callback).step, output.global_step) == ("stopped", 6, 6)


def test_a_checkpoint_is_gone_on_from(tmp_path: Path) -> None:
    sharpness, store = instruments.sharpness.using(every=4), tmp_path / "run.zarr"
    options: dict[str, Any] = {"instruments": [instruments.loss, sharpness], "budget": float("inf")}
    whole = LandscapeCallback(**options)
    trainer(tmp_path / "whole", whole).train()

    def fail() -> None:
        raise ZeroDivisionError

    saving: dict[str, Any] = {"save_strategy": "steps", "save_steps": 6}
    with pytest.raises(ZeroDivisionError):
        trainer(tmp_path / "lost", LandscapeCallback(**options, store=store), At(9, fail), **saving).train()
    again = LandscapeCallback(**options, store=store)
    trainer(tmp_path / "lost", again, **saving).train(resume_from_checkpoint=True)

    run = began(again)
    assert (run.step, run["loss"].step.values.tolist()) == (16, list(range(6, 16)))
    assert run["sharpness"].step.values.tolist() == [8, 12]
    kept, expected = nbtoolkit.open_run(store), began(whole)
    np.testing.assert_array_equal(kept["loss"].step, expected["loss"].step)
    np.testing.assert_allclose(kept["loss"].loss, expected["loss"].loss, rtol=1e-6)
    np.testing.assert_allclose(kept["sharpness"].sharpness, expected["sharpness"].sharpness, rtol=1e-3)
    with pytest.raises(StoreError, match="exists"):
        trainer(tmp_path / "new", LandscapeCallback(store=store)).train()
