"""Threads that work beside the one that trains."""

from __future__ import annotations

import threading

import torch


def compute_alone() -> None:
    """Let the calling thread compute without helpers of its own, now and later.

    Every thread that PyTorch's operations run in gets helpers, one less than there are processors.
    As soon as there are more of them than processors, libgomp lets none wait awake any more, in the
    whole process: each operation of the training then wakes them anew, and it runs at half speed
    (dcgan of width 8 in batches of 64: 2,000 images/s instead of 3,900 on two cores, 2026-11-22).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # PyTorch also takes that number for all threads to come.
    other = threading.Thread(target=torch.set_num_threads, args=(before,))
    other.start()
    other.join()
