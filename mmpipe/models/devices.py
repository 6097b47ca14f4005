"""Chooses the device that models run on."""

from __future__ import annotations

from mmpipe.errors import ConfigurationError


def choose_device(device: str) -> str:
    """Return the device for a knob: `auto` is the first accelerator, else the CPU; names are torch's own.

    Raises:
        ConfigurationError: an unknown device, or one that is not there.
    """
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device)
    except RuntimeError as error:
        raise ConfigurationError(f"Device {device!r} is unknown: use auto, cpu or cuda:N.") from error
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        raise ConfigurationError(
            f"Device {device!r} is not there: torch sees {torch.cuda.device_count()} of them. Use auto or cpu."
        )
    return device
