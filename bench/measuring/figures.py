"""From samples to results: medians, spreads, targets."""

from statistics import median


class Target:
    """A figure of one round of a measurement, and what it has to be.

    `of` takes the round, {subject: sample}, and gives the figure. A figure without a unit is a
    ratio, which holds on other machines too, so `bench/nightly` watches it. `doubt` takes a round
    and says why its figure does not mean what its words say, if so: then there is no verdict.
    """

    def __init__(
        self, name, what, measurement, of, at_most=None, at_least=None, unit="", doubt=None
    ):
        self.name = name
        self.what = what
        self.measurement = measurement
        self.of = of
        self.at_most = at_most
        self.at_least = at_least
        self.unit = unit
        self.doubt = doubt

    def result(self, rounds):
        """The median over the rounds, beside the target.

        It is in doubt when half of the rounds are: `met` is None then, and `doubt` says why.
        """
        value = spread([self.of(one) for one in rounds])
        met = (
            value["median"] <= self.at_most
            if self.at_least is None
            else self.at_least <= value["median"]
        )
        doubts = [why for one in rounds if self.doubt and (why := self.doubt(one))]
        doubt = doubts[0] if len(rounds) <= 2 * len(doubts) else None
        return {
            "name": self.name,
            "what": self.what,
            "measurement": self.measurement,
            "unit": self.unit,
            "atMost": self.at_most,
            "atLeast": self.at_least,
            **value,
            "met": None if doubt else met,
            "doubt": doubt,
        }


def spread(values):
    """Median, least and most."""
    return {"median": median(values), "low": min(values), "high": max(values)}


def summary(rounds):
    """Each subject's figures over the rounds of one measurement, each as a spread."""
    return {
        subject: {
            name: spread([one[subject][name] for one in rounds])
            for name in sample
        }
        for subject, sample in rounds[0].items()
    }


def results(targets, measured):
    """The results of those targets whose measurement was made; measured is {name: rounds}."""
    return [
        target.result(measured[target.measurement])
        for target in targets
        if target.measurement in measured
    ]
