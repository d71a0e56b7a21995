"""How much each hyperparameter matters, whatever engine suggested the trials."""

import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from marinecv.search.folder import Search
from marinecv.search.space import Parameter

MIN_TRIALS, FEW_TRIALS = 8, 50
TREES, SHUFFLES = 100, 30


def importance(search: Search) -> pd.DataFrame | None:
    """Fit a random forest to the trials that are done and return its permutation importances (Breiman, 2001).

    Columns `name, importance, deviation`, the most important first: the loss of fit by permuting, as a fraction of all.
    None with fewer than `MIN_TRIALS` trials, or if nothing made a difference.
    """
    done = [trial for trial in search.trials if trial.status == "done"]
    if len(done) < MIN_TRIALS:
        return None
    values = pd.DataFrame({parameter.name: [_number(parameter, t.values) for t in done] for parameter in search.space})
    values = values.fillna(values.median()).fillna(0.0)  # the middle for parameters that play no part
    scores = [trial.value for trial in done]
    forest = RandomForestRegressor(n_estimators=TREES, random_state=0).fit(values, scores)
    permuted = permutation_importance(forest, values, scores, n_repeats=SHUFFLES, random_state=0)
    mean = permuted.importances_mean.clip(min=0)
    if not mean.sum() > 0:
        return None
    table = pd.DataFrame({"name": values.columns, "importance": mean, "deviation": permuted.importances_std})
    table[["importance", "deviation"]] /= mean.sum()
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def _number(parameter: Parameter, values: dict) -> float:
    """The value as a number; a logarithm would change nothing, as trees use only the order."""
    value = values.get(parameter.name)
    if value is None:
        return float("nan")
    known = (*parameter.choices, *parameter.grid)
    return float(known.index(value)) if isinstance(value, str) else float(value)
