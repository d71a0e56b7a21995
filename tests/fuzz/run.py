"""Feed a target under coverage: `python tests/fuzz/run.py TARGET --seconds N`. Needs `pip install -e '.[fuzz]'`.

Starts from valid files and keeps what reaches new lines of marinecv. A finding is saved, its command is printed, and
the exit code is 1.
"""

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]


def main() -> None:
    """Run one target, or one saved finding."""
    import atheris

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60, help="how long to feed it (default: 60)")
    parser.add_argument("--findings", type=Path, default=Path("fuzz_findings"), help="folder (default: %(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="feed this one file only")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        with atheris.instrument_imports(include=["marinecv"], exclude=["marinecv.report"]):
            import targets

            feed, place = targets.TARGETS[args.target], targets.make_place(Path(folder) / "place")
            seeds = targets.SEEDS[args.target](place)
            for seed in seeds:
                feed(seed, place)  # what a target imports by itself is instrumented too
        warnings.simplefilter("error")
        if args.replay:
            feed(args.replay.read_bytes(), place)
            print(f"{args.target}: no finding in {args.replay}")
            return
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, seed in enumerate(seeds):
            (corpus / str(number)).write_bytes(seed)
        args.findings.mkdir(parents=True, exist_ok=True)
        prefix = f"-artifact_prefix={args.findings}/{args.target}-"
        print(f"a finding is fed again by: python tests/fuzz/run.py {args.target} --replay FILE", flush=True)
        bounds = [f"-max_total_time={args.seconds}", "-timeout=20", "-rss_limit_mb=4096", "-max_len=8192"]
        atheris.Setup([sys.argv[0], str(corpus), prefix, *bounds], lambda data: feed(data, place))
        atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    main()
