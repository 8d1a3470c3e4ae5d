"""Kernels and their arguments in an xclbin: the XML of its section EMBEDDED_METADATA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

ArgumentKind = Literal["scalar", "buffer", "stream"]
_KINDS: dict[str, ArgumentKind] = {"0": "scalar", "1": "buffer", "2": "buffer", "4": "stream"}
_QUALIFIERS: dict[ArgumentKind, str] = {"scalar": "0", "buffer": "1", "stream": "4"}
MAX_ARGUMENTS = 1024
MAX_KERNELS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """An argument of a kernel: its place in the call, its C type and its bytes in the register file."""

    index: int
    name: str
    kind: ArgumentKind
    type: str
    size_bytes: int

    @property
    def is_unsigned(self) -> bool:
        """Whether a scalar's type has no sign."""
        return self.type.replace("std::", "").startswith(("u", "size_t", "bool", "ap_u"))

    @property
    def is_integer(self) -> bool:
        """Whether a scalar's type is an integer."""
        return self.kind == "scalar" and not self.type.startswith(("float", "double", "half"))

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and largest value of an integer scalar."""
        bits = 8 * self.size_bytes
        return (0, (1 << bits) - 1) if self.is_unsigned else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel with its arguments in the order of the call, and the names of its copies on the device."""

    name: str
    arguments: tuple[Argument, ...]
    instances: tuple[str, ...] = ()


def kernels_from_xml(data: bytes) -> tuple[Kernel, ...]:
    """Return the kernels that the metadata describes.

    Raises:
        ValueError: no XML, a document type (refused: it could expand without end), or a missing attribute.
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise ValueError("its metadata declares a document type")
    try:
        root = ElementTree.fromstring(data.rstrip(b"\0 \n"))
    except ElementTree.ParseError as problem:
        raise ValueError(f"its metadata is not XML: {problem}") from None
    found = list(root.iter("kernel"))
    if len(found) > MAX_KERNELS:
        raise ValueError(f"{len(found)} kernels are above the limit of {MAX_KERNELS}")
    return tuple(_kernel(element) for element in found)


def _kernel(element: ElementTree.Element) -> Kernel:
    arguments = [_argument(child) for child in element.findall("arg") if child.get("id", "").isdigit()]
    arguments.sort(key=lambda argument: argument.index)
    name = _attribute(element, "name")
    if len(arguments) > MAX_ARGUMENTS or [one.index for one in arguments] != list(range(len(arguments))):
        raise ValueError(f"the arguments of kernel {name!r} are not numbered 0, 1, 2 ...")
    instances = tuple(_attribute(child, "name") for child in element.findall("instance"))
    return Kernel(name=name, arguments=tuple(arguments), instances=instances)


def _argument(element: ElementTree.Element) -> Argument:
    qualifier = _attribute(element, "addressQualifier")
    if qualifier not in _KINDS:
        raise ValueError(f"argument {element.get('name')!r} has the unknown address qualifier {qualifier!r}")
    size = int(_attribute(element, "size"), 0)
    if not 1 <= size <= 1 << 16:
        raise ValueError(f"argument {element.get('name')!r} has a size of {size} bytes")
    return Argument(
        index=int(_attribute(element, "id")),
        name=_attribute(element, "name"),
        kind=_KINDS[qualifier],
        type=element.get("type", ""),
        size_bytes=size,
    )


def _attribute(element: ElementTree.Element, name: str) -> str:
    value = element.get(name)
    if value is None:
        raise ValueError(f"its metadata has a <{element.tag}> without {name}")
    return value


def kernels_to_xml(kernels: tuple[Kernel, ...], *, platform: str, clock_hz: float | None) -> bytes:
    """Return metadata that XRT and `kernels_from_xml` read."""
    project = ElementTree.Element("project", name="lstmsim")
    board = ElementTree.SubElement(project, "platform", vendor="xilinx", boardid=platform, name=platform)
    ElementTree.SubElement(board, "version", major="1", minor="0")
    device = ElementTree.SubElement(board, "device", name="fpga0", fpgaDevice="", addrWidth="0")
    core = ElementTree.SubElement(device, "core", name="OCL_REGION_0", target="bitstream", type="clc_region")
    clocks = ElementTree.SubElement(core, "kernelClocks")
    if clock_hz is not None:
        ElementTree.SubElement(clocks, "clock", port="DATA_CLK", frequency=f"{clock_hz / 1e6:.6f}MHz")
    for kernel in kernels:
        _add_kernel(core, kernel)
    document: bytes = ElementTree.tostring(project, encoding="UTF-8", xml_declaration=True)
    return document


_FIRST_REGISTER = 0x10


def _add_kernel(core: ElementTree.Element, kernel: Kernel) -> None:
    element = ElementTree.SubElement(core, "kernel", name=kernel.name, language="c", interrupt="true", hash="")
    control = {"name": "s_axi_control", "mode": "slave", "range": "0x10000", "dataWidth": "32"}
    ElementTree.SubElement(element, "port", {**control, "portType": "addressable", "base": "0x0"})
    offset = _FIRST_REGISTER
    for argument in kernel.arguments:
        port = "s_axi_control"
        if argument.kind == "buffer":
            port = f"m_axi_{argument.name}"
            master = {"name": port, "mode": "master", "range": "0xFFFFFFFFFFFFFFFF", "dataWidth": "512"}
            ElementTree.SubElement(element, "port", {**master, "portType": "addressable", "base": "0x0"})
        _add_argument(element, argument, port, offset)
        offset += -(-argument.size_bytes // 4) * 4 + 4  # HLS leaves a reserved word behind every argument
    for name in kernel.instances:
        instance = ElementTree.SubElement(element, "instance", name=name)
        ElementTree.SubElement(instance, "addrRemap", base="0x0", range="0x10000", port="s_axi_control")


def _add_argument(element: ElementTree.Element, argument: Argument, port: str, offset: int) -> None:
    size = hex(argument.size_bytes)
    ElementTree.SubElement(
        element,
        "arg",
        name=argument.name,
        addressQualifier=_QUALIFIERS[argument.kind],
        id=str(argument.index),
        port=port,
        size=size,
        offset=hex(offset),
        hostOffset="0x0",
        hostSize=size,
        type=argument.type,
    )
