"""From samples to results: medians, spreads, targets."""

from statistics import median


class Target:
    """A figure of one round of a measurement, and what it has to be.

    `of` takes the round, {subject: sample}, and gives the figure. A figure without a unit is a
    ratio: it compares machines, so `bench/nightly` watches it.
    """

    def __init__(self, name, what, measurement, of, at_most=None, at_least=None, unit=""):
        self.name = name
        self.what = what
        self.measurement = measurement
        self.of = of
        self.at_most = at_most
        self.at_least = at_least
        self.unit = unit

    def result(self, rounds):
        """The median over the rounds, beside the target."""
        value = spread([self.of(one) for one in rounds])
        met = (
            value["median"] <= self.at_most
            if self.at_least is None
            else self.at_least <= value["median"]
        )
        return {
            "name": self.name,
            "what": self.what,
            "measurement": self.measurement,
            "unit": self.unit,
            "atMost": self.at_most,
            "atLeast": self.at_least,
            **value,
            "met": met,
        }


def spread(values):
    """Median, least and most."""
    return {"median": median(values), "low": min(values), "high": max(values)}


def summary(rounds):
    """Each subject's figures over the rounds of one measurement, each as a spread."""
    return {
        subject: {
            name: spread([one[subject][name] for one in rounds])
            for name, value in sample.items()
            if value is not None
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
