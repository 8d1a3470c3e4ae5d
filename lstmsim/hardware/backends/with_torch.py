"""PyTorch, eager or compiled by its tracing JIT."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from lstmsim.errors import HardwareError, MissingExtra
from lstmsim.hardware.backends import Job, Runner
from lstmsim.model import DenseWeights, LayerWeights
from lstmsim.network import DenseLayer, Layer, LstmLayer, RepeatLayer, ReshapeLayer, Stage


def build(job: Job) -> Runner:
    """Return the network as a torch module on the job's device."""
    torch = _torch()
    if job.target == "cuda" and not torch.cuda.is_available():
        raise HardwareError("torch sees no CUDA device: use --device cpu, or install a CUDA build of torch")
    if job.threads and job.target == "cpu":
        torch.set_num_threads(job.threads)
    inputs = torch.from_numpy(job.inputs)
    module = _module(torch, job).eval().to(job.target)
    if job.backend == "torch-jit":
        module = _traced(torch, module, inputs.to(job.target))

    def run() -> Any:
        with torch.inference_mode():
            return module(inputs.to(job.target)).cpu().numpy()  # the copy back waits for the result

    return Runner(
        run=run,
        library=f"torch {torch.__version__}",
        device_time_s=_event_clock(torch, module, inputs) if job.target == "cuda" else None,
    )


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise MissingExtra("torch", "torch", "timing with torch") from None
    return torch


def _traced(torch: Any, module: Any, inputs: Any) -> Any:
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shape checks inside torch.nn.LSTM become constants: shapes are fixed here
        return torch.jit.freeze(torch.jit.trace(module, inputs))


def _event_clock(torch: Any, module: Any, inputs: Any) -> Any:
    resident = inputs.to("cuda")

    def device_time_s() -> float:
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        with torch.inference_mode():
            start.record()
            module(resident)
            end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3

    return device_time_s


def _module(torch: Any, job: Job) -> Any:
    """Return a module whose layers are applied in order, batch first."""
    stages = job.model.network.stages
    parts = [_part(torch, stage, weights) for stage, weights in zip(stages, job.model.weights, strict=True)]
    layers = [stage.layer for stage in stages]

    class Stack(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(parts)

        def forward(self, values: Any) -> Any:
            for layer, part in zip(layers, self.parts, strict=True):
                values = _apply(torch, layer, part, values)
            return values

    return Stack()


def _part(torch: Any, stage: Stage, weights: LayerWeights) -> Any:
    if isinstance(stage.layer, LstmLayer):
        assert isinstance(weights, tuple)
        return _lstm(torch, stage, weights)
    if isinstance(weights, DenseWeights):
        dense = torch.nn.Linear(stage.input.features, weights.bias.size)
        _fill(torch, dense, {"weight": weights.kernel, "bias": weights.bias})
        return dense
    return torch.nn.Identity()


def _lstm(torch: Any, stage: Stage, weights: tuple[Any, ...]) -> Any:
    units, inputs = weights[0].bias.shape[1], stage.input.features
    lstm = torch.nn.LSTM(inputs, units, batch_first=True, bidirectional=len(weights) == 2)
    values = {}
    for one, suffix in zip(weights, ("", "_reverse"), strict=False):
        values[f"weight_ih_l0{suffix}"] = one.kernel.reshape(4 * units, inputs)
        values[f"weight_hh_l0{suffix}"] = one.recurrent.reshape(4 * units, units)
        values[f"bias_ih_l0{suffix}"] = one.bias.reshape(-1)
        values[f"bias_hh_l0{suffix}"] = np.zeros(4 * units)
    _fill(torch, lstm, values)
    lstm.flatten_parameters()
    return lstm


def _fill(torch: Any, module: Any, values: dict[str, Any]) -> None:
    state = {name: torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)) for name, array in values.items()}
    module.load_state_dict(state)


def _apply(torch: Any, layer: Layer, part: Any, values: Any) -> Any:
    match layer:
        case LstmLayer(return_sequences=sequences, direction=direction):
            return _apply_lstm(torch, part, values, sequences=sequences, direction=direction)
        case DenseLayer(activation=activation):
            return _activate(torch, activation, part(values))
        case RepeatLayer(count=count):
            return values.expand(-1, count, -1)
        case ReshapeLayer(timesteps=timesteps, features=features):
            return values.reshape(-1, timesteps, features)


def _apply_lstm(torch: Any, lstm: Any, values: Any, *, sequences: bool, direction: str) -> Any:
    outputs, (hidden, _) = lstm(values.flip(1) if direction == "reverse" else values)
    if not sequences:
        return hidden.transpose(0, 1).flatten(1)[:, None]  # the directions of a sample, joined
    return outputs.flip(1) if direction == "reverse" else outputs


def _activate(torch: Any, name: str, values: Any) -> Any:
    if name == "softmax":
        return torch.softmax(values, dim=-1)
    return values if name == "linear" else getattr(torch, name)(values)
