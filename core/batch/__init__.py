"""Many runs: on one machine or a cluster, resumable, nothing done twice.

    python -m core.batch -i PHOTOS -d DRIVERS -o FOLDER

    from core.batch import Job, run
    for result in run([Job(Options("me.jpg", "clip.mp4", output="out/"))]):
        print(result.state, result.output, result.error)

`docs/batch.md` says how it is used, `flow.py` in which order things happen.
"""

from __future__ import annotations

from core.batch.executor import Executor, Here
from core.batch.flow import Watch
from core.batch.job import Job, JobResult
from core.batch.manifest import Manifest
from core.batch.models import LoadedModels
from core.batch.processes import Processes
from core.batch.run import run

__all__ = ["Executor", "Here", "Job", "JobResult", "LoadedModels", "Manifest", "Processes", "Watch", "run"]
