"""GAGAvatar Enhanced: animate one photo with any driver."""

import os
import sys

__version__ = "0.1.0"

# Several libraries bring thread pools of their own. Where threads spin while they wait, they take the cores from one
# another. These are read when the libraries load, so they stand here.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
if "OPENBLAS_NUM_THREADS" not in os.environ:
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    if "numpy" in sys.modules:  # a program that imported it first: what is loaded does not read it any more
        from threadpoolctl import threadpool_limits

        threadpool_limits(1, user_api="blas")
