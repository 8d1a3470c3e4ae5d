"""What Vitis is told about the board: part, clock, and which memory every port of the kernel reaches."""

from __future__ import annotations

from lstmsim.config import KernelConfig
from lstmsim.device import FpgaDevice

KERNEL = "lstm_kernel"
_FAMILIES = {"xcu": "alveo", "xcz": "zynqmp", "xck": "zynqmp", "xc7z": "zynq"}
_PLATFORMS = {
    "u50": "xilinx_u50_gen3x16_xdma_5_202210_1",
    "u55c": "xilinx_u55c_gen3x16_xdma_3_202210_1",
    "u200": "xilinx_u200_gen3x16_xdma_2_202110_1",
    "u250": "xilinx_u250_gen3x16_xdma_4_1_202210_1",
    "u280": "xilinx_u280_gen3x16_xdma_1_202211_1",
    "zcu102": "xilinx_zcu102_base_202320_1",
    "zcu104": "xilinx_zcu104_base_202320_1",
    "kv260": "xilinx_kv260_base_202320_1",
}


def connectivity(config: KernelConfig, device: FpgaDevice) -> str:
    """Return the v++ link configuration: copies of the kernel, and a memory bank for every port."""
    names = ".".join(f"{KERNEL}_{number}" for number in range(1, config.instances + 1))
    lines = ["[connectivity]", f"nk={KERNEL}:{config.instances}:{names}"]
    place = 0
    for number in range(1, config.instances + 1):
        weights = [f"weights{port}" for port in range(config.memory_ports)]
        for port in weights:
            lines.append(f"sp={KERNEL}_{number}.{port}:{_bank(device, place)}")
            place += 1
        shared = _bank(device, place)
        lines += [f"sp={KERNEL}_{number}.{port}:{shared}" for port in ("inputs", "outputs", "digest")]
        place += 1
    return "\n".join(lines) + "\n"


def compile_config(clock_hz: float) -> str:
    """Return the v++ compile configuration (section [hls])."""
    return f"[hls]\nclock={clock_hz:.0f}:{KERNEL}\npre_tcl=widen.tcl\n"


def hls_config(config: KernelConfig, device: FpgaDevice, clock_hz: float) -> str:
    """Return hls_config.cfg for the Vitis component flow."""
    sources = "\n".join(f"syn.file={name}" for name in SYNTHESIS_SOURCES)
    return (
        f"part={device.part}\n\n[hls]\nflow_target=vitis\nclock={clock_hz / 1e6:g}MHz\nsyn.top={KERNEL}\n{sources}\n"
        "tb.file=testbench.cpp\ntb.file=data\n"
        f"syn.interface.m_axi_max_widen_bitwidth={_widest_port_bits(config)}\n"
        "syn.output.format=xo\n"
    )


def synthesis_script(config: KernelConfig, device: FpgaDevice, clock_hz: float) -> str:
    """Return the Tcl script that synthesizes the kernel."""
    return (
        "open_project -reset csynth\n"
        f"set_top {KERNEL}\n"
        'add_files lstm_kernel.cpp -cflags "-I."\n'
        'add_files -tb testbench.cpp -cflags "-I."\n'
        "add_files -tb data\n"
        "open_solution -reset solution -flow_target vitis\n"
        f"set_part {device.part}\n"
        f"create_clock -period {1e9 / clock_hz:.4f} -name default\n"
        f"config_interface -m_axi_max_widen_bitwidth {_widest_port_bits(config)}\n"
        "csynth_design\n"
        "exit\n"
    )


def widening_script(config: KernelConfig) -> str:
    """Return the Tcl lines that v++ reads before it synthesizes the kernel."""
    return f"config_interface -m_axi_max_widen_bitwidth {_widest_port_bits(config)}\n"


def project_makefile(device: FpgaDevice, clock_hz: float, python: str) -> str:
    """Return project.mk: what the Makefile needs to know about this project."""
    return (
        f"# {device.title}\n"
        f"PLATFORM ?= {_PLATFORMS.get(device.name, device.name)}\n"
        f"CLOCK_MHZ ?= {clock_hz / 1e6:g}\n"
        f"# The interpreter that wrote the project, where it still is: it knows where hls4ml is installed.\n"
        f"PYTHON ?= $(firstword $(wildcard {python}) python3)\n"
    )


SYNTHESIS_SOURCES = ("lstm_kernel.cpp",)
_WIDENED_PORT_BITS = 512


def _widest_port_bits(config: KernelConfig) -> int:
    """Return the width up to which the compiler may widen a port; 0 keeps every port as it is written."""
    return _WIDENED_PORT_BITS if config.widen_ports else 0


def _family(device: FpgaDevice) -> str:
    for prefix in sorted(_FAMILIES, key=len, reverse=True):
        if device.part.startswith(prefix):
            return _FAMILIES[prefix]
    return "other"


def _bank(device: FpgaDevice, place: int) -> str:
    """Return the memory bank for the port number `place` of the design, counted over all instances."""
    channel = place % device.memory_channels
    family = _family(device)
    if family == "zynqmp":
        return f"HP{channel}"
    if family == "zynq":
        return f"S_AXI_HP{channel}"
    if family == "alveo":
        return f"HBM[{channel}]" if "HBM" in device.memory else f"DDR[{channel}]"
    return "DDR"
