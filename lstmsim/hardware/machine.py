"""What this machine is called and what it draws, for the rows of a measurement."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

QUERY_LIMIT_S = 10.0


def cpu_name() -> str:
    """Return the processor's model name, such as "AMD EPYC 7B13"; the architecture where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(\S.*)$", text, flags=re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine() or "cpu"


def cpu_cores() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_name() -> str:
    """Return the first GPU's name as torch or the NVIDIA driver tells it; "cuda" where neither does."""
    try:
        import torch

        if torch.cuda.is_available():
            return str(torch.cuda.get_device_name(0))
    except ImportError:
        pass
    return _nvidia_smi("name") or "cuda"


def machine_name(target: str) -> str:
    """Return the title of the GPU or CPU that a measurement runs on."""
    return gpu_name() if target == "cuda" else cpu_name()


def device_key(title: str) -> str:
    """Return a title as a device name: lower case, words joined by hyphens."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"\((r|tm|c)\)", " ", title.lower()))
    fillers = {"cpu", "processor", "nvidia", "with"}
    return "-".join(word for word in words if word not in fillers) or "device"


def device_toml(key: str, title: str, target: str) -> str:
    """Return a device file for this machine. What it does not tell about itself is 0, and a note says so."""
    cuda = target == "cuda"
    memory_bytes = 2.0**20 * (_float(_nvidia_smi("memory.total")) or 0.0) if cuda else _memory_bytes()
    values: dict[str, object] = {
        "kind": "gpu" if cuda else "cpu",
        "name": key,
        "title": title,
        "edge": "near",
        "cores": cpu_cores(),
        "memory_bytes": memory_bytes,
        "memory_bandwidth_bytes_per_s": 0.0,
        "peak_flops": 0.0,
        "launch_s": 0.0,
        "idle_power_w": 0.0,
        "max_power_w": (_float(_nvidia_smi("power.limit")) or 0.0) if cuda else 0.0,
        "notes": [f"Written by lstmsim measure; 0 stands for what it does not know{GPU_NOTE if cuda else ''}."],
    }
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())


GPU_NOTE = "; cores are those of the host"


def _memory_bytes() -> float:
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return 0.0


def gpu_power_w() -> float | None:
    """Return the power that the first GPU draws now; None where NVML and nvidia-smi are absent or do not tell."""
    try:
        import pynvml
    except ImportError:
        return _float(_nvidia_smi("power.draw"))
    try:
        pynvml.nvmlInit()
        return float(pynvml.nvmlDeviceGetPowerUsage(pynvml.nvmlDeviceGetHandleByIndex(0))) / 1e3
    except pynvml.NVMLError:
        return None


def _nvidia_smi(field: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
