"""A small design that the tests of this folder share."""

import uuid

from lstmsim.hardware.axlf import Bank, Clock, ClockKind, ComputeUnit, Connection, MemoryType, Xclbin
from lstmsim.hardware.axlf_xml import Argument, Kernel

KERNEL = Kernel(
    name="copy",
    arguments=(
        Argument(index=0, name="source", kind="buffer", type="int*", size_bytes=8),
        Argument(index=1, name="target", kind="buffer", type="int*", size_bytes=8),
        Argument(index=2, name="count", kind="scalar", type="int", size_bytes=4),
    ),
    instances=("copy_1",),
)
DESIGN = Xclbin(
    uuid=uuid.UUID("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"),
    xsa="xilinx_u280_gen3x16_xdma_base_1",
    mode="hw",
    banks=(
        Bank(index=0, tag="HBM[0]", kind=MemoryType.HBM, used=True, size_bytes=1 << 28),
        Bank(index=1, tag="HBM[1]", kind=MemoryType.HBM, used=True, size_bytes=1 << 28, base_address=1 << 28),
        Bank(index=2, tag="HBM[2]", kind=MemoryType.HBM, used=False, size_bytes=1 << 28, base_address=2 << 28),
    ),
    units=(ComputeUnit(name="copy:copy_1", base_address=0x1800000),),
    connections=(Connection(argument=0, unit=0, bank=0), Connection(argument=1, unit=0, bank=1)),
    clocks=(
        Clock(name="KERNEL_CLK", kind=ClockKind.KERNEL, frequency_hz=500e6),
        Clock(name="DATA_CLK", kind=ClockKind.DATA, frequency_hz=300e6),
    ),
    kernels=(KERNEL,),
)
