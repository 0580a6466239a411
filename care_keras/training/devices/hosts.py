"""What a run can be told of its devices and hosts."""

import dataclasses

DISTRIBUTIONS = ("none", "auto", "data_parallel", "mirrored", "multi_worker")


@dataclasses.dataclass(frozen=True)
class Hosts:
    """Which of several processes this is, for JAX; what is not given, the environment says.

    Attributes:
        coordinator_address: `HOST:PORT` of the first process.
        num_processes: Number of processes; 0 if not given.
        process_id: Number of this one, from 0; -1 if not given.
    """

    coordinator_address: str = ""
    num_processes: int = 0
    process_id: int = -1
