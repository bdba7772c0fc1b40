"""Equivalent steps: what is done with a SMETS1 device so that the effect is that of the same request on a SMETS2 one
(S1SR; FACT that this is what they are, the steps themselves are INFERENCE: the annex that lists them is not public).

A meter of the first generation knows no service requests. `table` has a row for each service; the steps stand by
subject, and `course` is what they are given. Access control, papers and verdicts are the front's (`emulator/dcc`).
"""

from emulator.headend.steps.course import NOT_EFFECTED, NOT_OFFERED, Course, Nothing, Payload
from emulator.headend.steps.table import SERVICES, Service, service

__all__ = ["NOT_EFFECTED", "NOT_OFFERED", "SERVICES", "Course", "Nothing", "Payload", "Service", "service"]
