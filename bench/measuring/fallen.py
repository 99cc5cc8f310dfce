"""Tells whether ratios fell: what bench/nightly fails by."""

#: By how much a ratio may be worse than the committed one.
ALLOWED = 0.15


def fallen(committed, fresh, allowed=ALLOWED):
    """The ratios of `committed` that `fresh` has worse by more than is allowed, or has no more.

    Both are the content of a benchmarks.json. Only sections that `fresh` has are looked at, and
    only ratios: figures with a unit say more about the machine than about the code. A committed
    ratio in doubt is nothing to hold to; a fresh one in doubt is named, not passed over.
    """
    found = []
    for section, now in fresh.items():
        results = {one["name"]: one for one in now["results"]}
        for before in committed.get(section, {}).get("results", []):
            if before["unit"] or before.get("doubt"):
                continue
            after = results.get(before["name"])
            if after is None:
                found.append(_named(before, "was not measured"))
            elif after.get("doubt"):
                found.append(_named(before, f"no verdict, {after['doubt']}"))
            elif _is_worse(before, after["median"], allowed):
                what = f"{before['median']:.2f} committed, {after['median']:.2f} now"
                found.append(_named(before, what))
    return found


def _is_worse(before, now, allowed):
    if before["atLeast"] is None:
        return before["median"] * (1 + allowed) < now
    return now < before["median"] * (1 - allowed)


def _named(one, what):
    return {"name": one["name"], "measurement": one["measurement"], "text": f"{one['what']}: {what}"}
