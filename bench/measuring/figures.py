"""From samples to results: medians, spreads, targets."""

from statistics import median

#: A core that is busy for less than this was not what limited the rate.
_SATURATED = 0.9


class Target:
    """A figure of one round of a measurement, and what it has to be.

    `of` takes the round, {subject: sample}, and gives the figure. A figure without a unit is a
    ratio, which holds on other machines too, so `bench/nightly` watches it. `saturates` names
    the subjects whose core must have been busy: if a neighbour had it, or the generator was too
    slow, a rate says nothing about the server, and there is no verdict.
    """

    def __init__(
        self, name, what, measurement, of, at_most=None, at_least=None, unit="", saturates=()
    ):
        self.name = name
        self.what = what
        self.measurement = measurement
        self.of = of
        self.at_most = at_most
        self.at_least = at_least
        self.unit = unit
        self.saturates = saturates

    def result(self, rounds):
        """The median over the rounds, beside the target; met is None without a verdict."""
        value = spread([self.of(one) for one in rounds])
        met = (
            value["median"] <= self.at_most
            if self.at_least is None
            else self.at_least <= value["median"]
        )
        busy = [median(one[each]["serverShare"] for one in rounds) for each in self.saturates]
        if busy and min(busy) < _SATURATED:
            met = None
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
