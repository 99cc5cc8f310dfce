"""bench/nightly fails by what fell, and by nothing else."""

import json
import subprocess
import tempfile
import unittest
from pathlib import Path

NIGHTLY = Path(__file__).resolve().parents[2] / "nightly"


def ratio(name, median, at_most=None, at_least=None, unit=""):
    return {
        "name": name,
        "what": f"what {name} is",
        "measurement": "heartbeat",
        "unit": unit,
        "atMost": at_most,
        "atLeast": at_least,
        "median": median,
    }


COMMITTED = [
    ratio("cpu", 1.20, at_most=1.3),
    ratio("rate", 0.80, at_least=0.75),
    ratio("p99", 10.0, at_most=20, unit="ms"),
]


class Fallen(unittest.TestCase):
    def check(self, fresh, code, told):
        with tempfile.TemporaryDirectory() as directory:
            old, new = Path(directory, "old.json"), Path(directory, "new.json")
            old.write_text(json.dumps({"compare": {"results": COMMITTED}, "scale": {"results": COMMITTED}}))
            new.write_text(json.dumps({"compare": {"results": fresh}}))
            command = [NIGHTLY, "--check", old, new]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (code, told), done.stderr)

    def test_what_is_the_same_or_better_passes(self):
        fresh = [ratio("cpu", 0.5, at_most=1.3), ratio("rate", 2.0, at_least=0.75), COMMITTED[2]]
        self.check(COMMITTED, 0, "no ratio fell by more than 15 %\n")
        self.check(fresh, 0, "no ratio fell by more than 15 %\n")

    def test_a_little_worse_passes(self):
        fresh = [ratio("cpu", 1.37, at_most=1.3), ratio("rate", 0.69, at_least=0.75), COMMITTED[2]]
        self.check(fresh, 0, "no ratio fell by more than 15 %\n")

    def test_a_cost_that_rose_by_more_is_named(self):
        fresh = [ratio("cpu", 1.39, at_most=1.3), *COMMITTED[1:]]
        self.check(fresh, 1, "FELL cpu: what cpu is: 1.20 committed, 1.39 now\n")

    def test_a_rate_that_fell_by_more_is_named(self):
        fresh = [COMMITTED[0], ratio("rate", 0.67, at_least=0.75), COMMITTED[2]]
        self.check(fresh, 1, "FELL rate: what rate is: 0.80 committed, 0.67 now\n")

    def test_a_ratio_that_was_not_measured_is_named(self):
        self.check(COMMITTED[:1], 1, "FELL rate: what rate is: was not measured\n")

    def test_a_figure_with_a_unit_is_the_machines(self):
        fresh = [*COMMITTED[:2], ratio("p99", 100.0, at_most=20, unit="ms")]
        self.check(fresh, 0, "no ratio fell by more than 15 %\n")

    def test_a_ratio_in_doubt_is_named(self):
        doubtful = COMMITTED[1] | {"doubt": "the core was 60% busy"}
        told = "FELL rate: what rate is: no verdict, the core was 60% busy\n"
        self.check([COMMITTED[0], doubtful, COMMITTED[2]], 1, told)


if __name__ == "__main__":
    unittest.main()
