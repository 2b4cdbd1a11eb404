"""GAGAvatar Enhanced: animate one photo with any driver."""

import os

__version__ = "0.1.0"

# Several libraries bring thread pools of their own. Where threads spin while they wait, they take the cores from one
# another. These are read when the libraries load, so they stand here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
