"""How much each hyperparameter matters, whatever engine suggested the trials."""

import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from marinecv.search.folder import Search
from marinecv.search.space import Parameter

FEWEST = 8  # trials
ROUGH_BELOW = 50
TREES, SHUFFLES = 100, 30


def importance(search: Search) -> pd.DataFrame | None:
    """Fit a random forest to the trials that are done and return its permutation importances (Breiman, 2001).

    Columns `name, share, deviation`, the most important first: the loss of fit by permuting, as a fraction of all. None
    with fewer than `FEWEST` trials, or if nothing made a difference.
    """
    done = [trial for trial in search.trials if trial.status == "done"]
    if len(done) < FEWEST:
        return None
    seen = pd.DataFrame({parameter.name: [_number(parameter, t.values) for t in done] for parameter in search.space})
    seen = seen.fillna(seen.median()).fillna(0.0)  # the middle for parameters that play no part
    forest = RandomForestRegressor(n_estimators=TREES, random_state=0).fit(seen, [trial.value for trial in done])
    lost = permutation_importance(forest, seen, [t.value for t in done], n_repeats=SHUFFLES, random_state=0)
    mean = lost.importances_mean.clip(min=0)
    if not mean.sum() > 0:
        return None
    table = pd.DataFrame({"name": seen.columns, "share": mean, "deviation": lost.importances_std})
    table[["share", "deviation"]] /= mean.sum()
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True)


def _number(parameter: Parameter, values: dict) -> float:
    """The value as a number; a logarithm would change nothing, as trees use only the order."""
    value = values.get(parameter.name)
    if value is None:
        return float("nan")
    known = (*parameter.choices, *parameter.grid)
    return float(known.index(value)) if isinstance(value, str) else float(value)
