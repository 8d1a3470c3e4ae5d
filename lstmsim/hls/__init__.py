"""HLS projects: the kernel of hls/ configured for a network and a board, with test vectors from the simulator."""

from __future__ import annotations

from lstmsim.hls.project import Project, check_kernel, write_project

__all__ = ["Project", "check_kernel", "write_project"]
