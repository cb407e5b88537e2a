"""Photos into an index: find, decode, encode, write; killed at any moment, it goes on.

    sources -> decode -> encode -> document -> bulk -> ledger

`run` ties them together; `local` and `ray` are its two executors over the same plain functions.
`takedown` is the way out again. Does not search.
"""

# Relative to the parent on purpose: the link `ingest` at the repository's root is a signpost, and
# a stray `import ingest` must fail.
from ..errors import StairError as StairError
from .job import JobSettings as JobSettings
from .job import PastJob as PastJob
from .job import Progress as Progress
from .job import Report as Report
from .job import jobs as jobs
from .run import Failure as Failure
from .run import failures as failures
from .run import retry as retry
from .run import run as run
from .verify import Verification as Verification
from .verify import verify as verify
