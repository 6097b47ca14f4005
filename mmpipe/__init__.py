"""mmpipe turns crawl dumps into trainer-ready multimodal data, with every row's fate explainable."""

import os

__version__ = "0.1.0"

# before NumPy is loaded: its threads for linear algebra sleep while they wait, rather than spin for a tenth of a second
# of each process's start (OpenBLAS: they spin for 2 to this power of ticks; it has 26)
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")

# before PyTorch is loaded: its threads sleep at the end of each product while they wait for the others. They would spin
# else, and on a machine with other work to do the embedded teacher took 202 s for eight short requests instead of 4
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
