"""Boards, GPUs and CPUs: running kernels and timing them."""
