"""Golden values: what a change that should alter no result is held against.

    python benchmarks/golden.py --record COMMIT    record this machine's reference: a checkout of COMMIT, its own script
    python benchmarks/golden.py --check            run the working tree; exit code 1 where it differs from a reference
    python benchmarks/golden.py --accept REASON    record the working tree's values as the references, with the reason

Runs eight recipes of the five reports (60 images a split, 2 epochs, seed 0), an audit, an explanation, an export and an
evaluation in two folds. Recorded are predictions, metric values, pairs of images and parity checks, under keys of this
script alone: no name of a file, of a column or of a kind of pair, and no hash, so that renaming changes nothing.

On one machine all values must be equal: its reference is `runs/golden.json`, which git ignores. The reference that is
committed, benchmarks/results/golden.json, was recorded elsewhere: numbers may differ from it by 1e-3. Needs the real
data (`--data-root`, $MARINECV_DATA or ../shared/data) and its ImageNet weights. About four minutes on two cores.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = ROOT / "benchmarks" / "results" / "golden.json"
MACHINE = ROOT / "runs" / "golden.json"
TOLERANCE, DIGITS = 1e-3, 5  # of the committed reference
SMALL = ["--limit", "60", "--epochs", "2", "--seed", "0"]
RECIPES = {  # name: command and data
    "aquarium_four_conv": ("pretrain", "aquarium"),
    "aquarium_four_conv_synthetic": ("pretrain", "aquarium"),
    "aquarium_mobilenet_p2": ("finetune", "aquarium"),
    "animals_mobilenet": ("finetune", "animals10_5"),
    "birds_mobilenet": ("finetune", "cub_x20"),
    "birdcnn_base": ("pretrain", "cub_x20"),
    "butterflies_denoise": ("autoencode", "butterflies20"),
    "butterflies_mobilenet": ("learning-curve", "butterflies20"),
}
FOLDERS = {"animals10_5": "animals10_small"}  # of data that lie under another name
LEARNED = "aquarium_mobilenet_p2"  # the run that is explained, exported and evaluated in folds
KINDS = {"copy": "copy", "near copy": "near", "neighbor": "frame", "block": "block"}  # of pairs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--record", metavar="COMMIT")
    what.add_argument("--check", action="store_true")
    what.add_argument("--accept", metavar="REASON")
    what.add_argument("--write", type=Path, metavar="FILE", help="run the working tree and write its values, no more")
    shared = os.environ.get("MARINECV_DATA") or ROOT.parent / "shared" / "data"
    parser.add_argument("--data-root", type=Path, default=Path(shared), help="folder of the real data sets")
    args = parser.parse_args()
    if not (args.data_root / "aquarium").is_dir():
        parser.error(f"there are no data sets in {args.data_root}. Name their folder with --data-root.")
    if args.record:
        record(args.record, args.data_root.resolve())
        return 0
    values = measure(args.data_root.resolve())
    if args.write:
        write(args.write, values)
        return 0
    return accept(values, args.accept) if args.accept else check(values)


def record(commit: str, data: Path) -> None:
    """Write this machine's reference as a checkout of a commit measures it."""
    MACHINE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        checkout = Path(place) / "checkout"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(checkout), commit], check=True)
        try:
            script = checkout / "benchmarks" / "golden.py"
            words = ["--write", str(MACHINE), "--data-root", str(data)]
            subprocess.run([sys.executable, str(script), *words], check=True, cwd=place)
        finally:
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)
    print(f"reference of {commit} on this machine: {MACHINE}")


def accept(values: dict, reason: str) -> int:
    """Write both references, with the reason and the parts that changed."""
    old = json.loads(COMMITTED.read_text(encoding="utf-8")) if COMMITTED.is_file() else {}
    changed = sorted({re.split(r"[:\[]", place)[0] for place in differences(old.get("values", {}), values, TOLERANCE)})
    write(MACHINE, values)
    reasons = [*old.get("reasons", []), {"reason": reason, "changed": changed}]
    write(COMMITTED, _rounded(values), reasons)
    print(f"recorded; changed: {', '.join(changed) or 'nothing'}")
    return 0


def check(values: dict) -> int:
    """Hold values against both references and print where they differ."""
    code = 0
    for file, tolerance in ((MACHINE, 0.0), (COMMITTED, TOLERANCE)):
        if not file.is_file():
            print(f"no reference {file.relative_to(ROOT)}; make it with --record COMMIT")
            code = code or 2 * (file == COMMITTED)
            continue
        found = list(differences(json.loads(file.read_text(encoding="utf-8"))["values"], values, tolerance))
        within = f"within {tolerance:g}" if tolerance else "equal"
        print(f"{file.relative_to(ROOT)}: {f'{len(found)} differences' if found else within}")
        for name, count in Counter(re.split(r"[:\[]", line)[0] for line in found).items():
            print(f"  {name}: {count} values")
        print("".join(f"  {line}\n" for line in found[:20]), end="")
        code = 1 if found else code
    return code


def differences(old, new, tolerance: float, place: str = "") -> Iterator[str]:
    """Yield a line for each value that differs: where it stands, the old and the new one."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), tolerance, f"{place}{': ' if place else ''}{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, tolerance, f"{place}[{number}]")
    elif isinstance(old, int | float) and isinstance(new, int | float):
        if not (abs(old - new) <= tolerance):
            yield f"{place}: {old} -> {new}"
    elif old != new:
        yield f"{place}: {old} -> {new}"


def measure(data: Path) -> dict:
    """Run everything in the working tree and return the values."""
    os.environ.setdefault("KERAS_HOME", str(data / "keras_home"))
    with tempfile.TemporaryDirectory() as place:
        os.environ["MARINECV_HOME"] = place  # an empty store
        runs, values = Path(place) / "runs", {}
        for name, (command, of) in RECIPES.items():
            folder = ["--data-dir", data / FOLDERS.get(of, of)]
            fewer = ["--label-fractions", "0.5", "--seeds", "1"] if command == "learning-curve" else []
            _run(command, "--recipe", name, "--data", of, *folder, *SMALL, *fewer, "--output-dir", runs / name)
            values |= {f"{name}{word}": of_run(run) for word, run in _runs_of(runs / name)}
        run = runs / LEARNED
        aquarium = ["--data", "aquarium", "--data-dir", data / "aquarium"]
        _run("audit", *aquarium, "--limit", "60", "--output-dir", runs / "audit")
        _run("explain", run, "--limit", "8")
        _run("export", run, "--format", "litert", "--quantize", "none", "float16")
        _run("evaluate", run, "--split", "test", "--folds", "2", "--output-dir", runs / "evaluation")
        values["audit"] = of_audit(runs / "audit")
        values["explain"] = {"heat": _by_image(pd.read_csv(run / "explanations" / "gradcam" / "boxes.csv"))}
        for kind in ("litert", "litert-float16"):
            values[kind] = of_export(run / "exports" / kind)
        values |= {f"folds{word}": of_run(fold) for word, fold in _runs_of(run / "grouped-2-folds")}
        values["evaluation"] = _table(pd.read_csv(runs / "evaluation" / "leakage.csv"))
        return values


def of_run(run: Path) -> dict:
    """Predictions or reconstruction errors, metrics, calibration and history of a run."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    history = pd.read_csv(run / "history.csv")
    values = {
        "metrics": {
            f"{split} {name}": [float(metric[bound]) for bound in ("value", "low", "high")]
            for split, metrics_of in metrics.items()
            for name, metric in metrics_of.items()
            if isinstance(metric, dict) and metric.get("low") is not None
        },
        "history": {name: history[name].tolist() for name in ("loss", "val_loss")},
    }
    if (run / "reconstructions.csv").is_file():
        return values | {"errors": _by_image(pd.read_csv(run / "reconstructions.csv"))}
    calibration = json.loads((run / "calibration.json").read_text(encoding="utf-8"))
    predictions = pd.read_csv(run / "predictions.csv", dtype={"image_id": str}, keep_default_na=False)
    predictions = predictions.drop(columns=["camera", "sequence", "taken_at", "time_source"], errors="ignore")
    return values | {"temperature": [calibration["temperature"]], "predictions": _by_image(predictions)}


def of_audit(folder: Path) -> dict:
    """The pairs of related images, the counts of the findings and the scores of a thumbnail's nearest neighbor."""
    pairs = pd.read_csv(folder / "pairs.csv")
    values = {
        " | ".join(sorted((pair.image_a, pair.image_b))): [
            KINDS[pair.kind],
            *([] if pair.similarity != pair.similarity else [pair.similarity]),
        ]
        for pair in pairs.itertuples()
    }
    counts = pd.read_csv(folder / "findings.csv")[["count", "of"]]
    return {
        "pairs": values,
        "findings": sorted(counts.to_numpy().tolist()),
        "nearest": _table(pd.read_csv(folder / "leak.csv")),
    }


def of_export(folder: Path) -> dict:
    """How well an exported model agrees with the Keras model, and what it gives for drawn images."""
    parity = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    scores = [parity[name][bound] for name in ("accuracy", "agreement") for bound in ("value", "low", "high")]
    return {
        "scores": [*scores, parity["largest_difference"], parity["temperature"]],
        "probabilities": [row["probabilities"] for row in expected.values()],
    }


def _runs_of(folder: Path) -> list[tuple[str, Path]]:
    """A run itself, or the runs of a folder of them, with what is added to its key."""
    if (folder / "metrics.json").is_file():
        return [("", folder)]
    runs = sorted(path.parent for path in folder.glob("*/metrics.json"))
    return [(f" {number}", run) for number, run in enumerate(runs, start=1)]


def _by_image(table: pd.DataFrame) -> dict:
    """A row by its image id: text and numbers, without what is empty."""
    rows = table.set_index("image_id").to_dict("split")
    return {
        name: [value for value in row if value == value and value != ""]
        for name, row in zip(rows["index"], rows["data"], strict=True)
    }


def _table(table: pd.DataFrame) -> list:
    """Value, bounds and counts of each row, in order."""
    numbers = table[["value", "low", "high", "n"]].astype(float)
    return [[number if number == number else "none" for number in row] for row in numbers.to_numpy().tolist()]


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def _run(*words) -> None:
    print("golden:", *map(str, words), flush=True)
    command = [sys.executable, str(ROOT / "run.py"), *map(str, words)]
    done = subprocess.run(command, cwd=os.environ["MARINECV_HOME"], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nexit code {done.returncode} of: {' '.join(map(str, words))}")


def write(file: Path, values: dict, reasons: list | None = None) -> None:
    """Write values as JSON, a line each image, pair or metric."""
    file.parent.mkdir(exist_ok=True)
    lines = []
    for key, parts in values.items():
        inner = []
        for part, entries in parts.items() if isinstance(parts, dict) else [("", parts)]:
            if isinstance(entries, dict):
                rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in entries.items())
                inner.append(f"{json.dumps(part)}: {{\n{rows}\n}}")
            else:
                inner.append(f"{json.dumps(part)}: {json.dumps(entries)}")
        lines.append(
            f"{json.dumps(key)}: "
            + ("{\n" + ",\n".join(inner) + "\n}" if isinstance(parts, dict) else json.dumps(parts))
        )
    text = '{\n"reasons": ' + json.dumps(reasons or [], indent=1) + ',\n"values": {\n' + ",\n".join(lines) + "\n}\n}\n"
    file.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    sys.exit(main())
