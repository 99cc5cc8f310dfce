"""A verdict is given only where the figure says what its words say."""

import unittest

from measuring.comparing import TARGETS
from measuring.figures import spread
from measuring.scaling import targets

RATE = next(target for target in TARGETS if target.name == "heartbeat-rate")
SWEEP = next(target for target in targets(1000) if target.name == "sweep")


def one_round(rate, streamgate=1.0, noop=1.0):
    return {
        "streamgate": {"requestsPerSecond": rate, "serverShare": streamgate},
        "no-op": {"requestsPerSecond": 100, "serverShare": noop},
    }


class Verdicts(unittest.TestCase):
    def test_the_median_of_the_rounds_meets_or_misses(self):
        self.assertIs(RATE.result([one_round(10), one_round(80), one_round(90)])["met"], True)
        self.assertIs(RATE.result([one_round(10), one_round(70), one_round(90)])["met"], False)

    def test_a_rate_of_a_core_that_was_not_busy_has_no_verdict(self):
        self.assertIsNone(RATE.result([one_round(80, streamgate=0.6)])["met"])
        result = RATE.result([one_round(80, noop=0.6)])
        self.assertIsNone(result["met"])
        self.assertEqual(result["doubt"], "the core of no-op was only 60% busy")

    def test_one_disturbed_round_of_three_leaves_the_verdict(self):
        rounds = [one_round(80), one_round(80, streamgate=0.6), one_round(80)]
        self.assertIs(RATE.result(rounds)["met"], True)

    def test_a_sweep_that_did_not_happen_has_no_verdict(self):
        quiet = {"p999": 1000}
        swept = {"p999": 2000, "swept": 1000, "isSweeping": False, "endedEarly": 0}
        self.assertIs(SWEEP.result([{"quiet": quiet, "sweep": swept}])["met"], True)
        swept["swept"] = 503
        self.assertIsNone(SWEEP.result([{"quiet": quiet, "sweep": swept}])["met"])
        swept["isSweeping"] = True
        self.assertIs(SWEEP.result([{"quiet": quiet, "sweep": swept}])["met"], True)

    def test_the_spread_is_kept(self):
        self.assertEqual(spread([3, 1, 2]), {"median": 2, "low": 1, "high": 3})


if __name__ == "__main__":
    unittest.main()
