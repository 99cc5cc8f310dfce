"""A verdict is given only where the figure says what its words say."""

import unittest

from measuring.figures import Target, spread

RATE = Target(
    "rate",
    "requests/s at saturation",
    "heartbeat",
    lambda one: one["streamgate"]["rate"] / one["no-op"]["rate"],
    at_least=0.75,
    saturates=("streamgate", "no-op"),
)


def one_round(rate, streamgate=1.0, noop=1.0):
    return {
        "streamgate": {"rate": rate, "serverShare": streamgate},
        "no-op": {"rate": 100, "serverShare": noop},
    }


class Verdicts(unittest.TestCase):
    def test_the_median_of_the_rounds_meets_or_misses(self):
        self.assertIs(RATE.result([one_round(10), one_round(80), one_round(90)])["met"], True)
        self.assertIs(RATE.result([one_round(10), one_round(70), one_round(90)])["met"], False)

    def test_a_rate_of_a_core_that_was_not_busy_has_no_verdict(self):
        self.assertIsNone(RATE.result([one_round(80, streamgate=0.6)])["met"])
        self.assertIsNone(RATE.result([one_round(80, noop=0.6)])["met"])

    def test_the_spread_is_kept(self):
        self.assertEqual(spread([3, 1, 2]), {"median": 2, "low": 1, "high": 3})


if __name__ == "__main__":
    unittest.main()
