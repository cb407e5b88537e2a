"""Reports of finished runs: each stage's model measured on held-out photos, and how it came about.

    write_report(run, …)  reads RUN/run.json and RUN/stages/N-name/{stage.json, log.jsonl, model/},
                          writes report.html and report.json into RUN

What a report says is in `page`; this module finds it out.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from stair_search.encoders.torch_model import load_torch
from stair_search.errors import TrainingError, UsageError
from stair_search.evaluation.encode import Decode
from stair_search.evaluation.nouns import nouns_of
from stair_search.evaluation.pairs import Pairs
from stair_search.files import whole_file
from stair_search.models.config import from_dict

from ..features import default_cache
from ..log_lines import read_log
from ..recipe import Stage
from .measures import HeldOut, measure, spread
from .page import (
    Interval,
    Measures,
    PhotoReport,
    Report,
    StageReport,
    page,
)
from .vectors import pairs_vectors

SHOWN_PHOTOS = 10
KEPT_TOKENS = 60
"""Of a shown photo, in report.json."""
THUMBNAIL = 320

Tell = Callable[[str], None]


def write_report(
    run: Path,
    held_out: HeldOut | None,
    decode: Decode,
    tell: Tell = lambda text: None,
    cache: Path | None = None,
    device: str | None = None,
) -> Report:
    """The report of one run, into its folder. held_out: None where there was nothing to hold out.

    decode: a file's bytes to an upright RGB picture (PIL). cache: of the states of frozen towers,
    as `train` has it. device: see `load_encoder`. Raises UsageError where no stage is finished.
    """
    about = _json(run / "run.json")
    stages, photos = measure_runs({run.name: run}, held_out, decode, tell, cache, device)
    report = Report(
        f"{about.get('name', run.name)}: report of a training",
        facts(about),
        stages,
        photos,
        stage_warnings(stages),
        notes(held_out, stages),
    )
    save(report, run)
    return report


def is_current(run: Path) -> bool:
    """Whether a run's report was written after its last stage ended."""
    try:
        written = (run / "report.html").stat().st_mtime_ns
    except OSError:
        return False
    return all(written >= (f / "stage.json").stat().st_mtime_ns for f in finished(run))


def save(report: Report, folder: Path) -> None:
    """report.json, then report.html; each whole or not at all, else raises TrainingError."""
    told = json.dumps(report.to_dict(), ensure_ascii=False, allow_nan=False, indent=1)
    for name, text in (("report.json", told), ("report.html", page(report))):
        try:
            with whole_file(folder / name, TrainingError) as out:
                out.write(text)
        except TrainingError as error:
            raise TrainingError(
                f"{error}; the models are whole: free some space and run the same command again, "
                "which writes the report alone"
            ) from None


def measure_runs(
    runs: Mapping[str, Path],
    held_out: HeldOut | None,
    decode: Decode,
    tell: Tell,
    cache: Path | None = None,
    device: str | None = None,
) -> tuple[list[StageReport], list[PhotoReport]]:
    """Every stage of every run that is finished. runs: by the name of the series."""
    shown = [] if held_out is None else spread(len(held_out.pairs.photos), SHOWN_PHOTOS)
    tokens: list[dict[str, dict[str, float]]] = [{} for _ in shown]
    nouns = [] if held_out is None else nouns_of(held_out.pairs)
    stages: list[StageReport] = []
    for series, run in runs.items():
        recipe = _json(run / "run.json")["recipe"]
        dense = recipe["model"]["kind"] == "clip"
        trained = tuple(from_dict(Stage, stage) for stage in recipe["stages"])
        folders = finished(run)
        for folder in folders:
            wanted = recipe["stages"][int(folder.name.split("-")[0]) - 1]
            name = f"{series} {folder.name}" if len(folders) > 1 else series
            measures = None
            if held_out is not None:
                model = folder / "model"
                encoder = load_torch(str(model), None, device, None)
                photos, captions = pairs_vectors(
                    encoder,
                    trained,
                    held_out.pairs,
                    decode,
                    cache or default_cache(),
                    lambda text, name=name: tell(f"{name}: {text}"),  # type: ignore[misc]
                    wanted["own_only"],
                )
                tell(f"{name}: measuring")
                measures = measure(
                    encoder,
                    photos,
                    captions,
                    held_out.pairs,
                    nouns,
                    _outputs(model),
                    _asked(name, len(encoder.vocabulary.tokens), tell),
                )
                for place, photo in enumerate(shown):
                    if not isinstance(photos, np.ndarray):
                        told = encoder.vocabulary.to_dict(photos[photo])
                        tokens[place][name] = dict(list(told.items())[:KEPT_TOKENS])
            about, log = _json(folder / "stage.json"), read_log(folder / "log.jsonl")
            stages.append(
                _stage(name, series, dense, about, _settings(recipe, wanted), log, measures)
            )
    if held_out is None:
        return stages, []
    return stages, [
        _shown(held_out.pairs, photo, found, decode)
        for photo, found in zip(shown, tokens, strict=True)
    ]


def facts(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What run.json knows, for people."""
    told = []
    for key, value in about.items():
        if key in ("recipe", "name"):
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{name} {_flat(inner)}" for name, inner in value.items())
        told.append((key.replace("_", " "), str(value)))
    return told


def facts_of_versions(run: Path) -> list[tuple[str, str]]:
    """Of the libraries that the run was trained with."""
    versions = _json(run / "run.json").get("versions", {})
    return [("Versions", ", ".join(f"{name} {version}" for name, version in versions.items()))]


def stage_warnings(stages: Sequence[StageReport]) -> list[str]:
    """What the training warned of, each with its stage."""
    return [f"{stage.name}: {warning}" for stage in stages for warning in stage.warnings]


def notes(held_out: HeldOut | None, stages: Sequence[StageReport]) -> list[str]:
    """What these figures can tell, and what they cannot."""
    if held_out is None:
        return ["Nothing was measured: the pairs have no photos that were held out of training."]
    photos, captions = len(held_out.pairs.photos), len(held_out.pairs.captions)
    told = [
        f"Measured on {photos:,} photos with {captions:,} captions of split {held_out.split!r}"
        + (f", taken evenly from its {held_out.of:,}" if photos < held_out.of else "")
        + ". R@K depends on how many photos there are to choose from: figures of another "
        "collection cannot be laid beside these.",
        "Intervals are over photos (95 %, bootstrap, each photo drawn with its captions): they say "
        "what other photos of the same kind might give, not what another seed would.",
    ]
    widths = [_width(s.measures.text_to_image.at_1) for s in stages if s.measures is not None]
    if widths:
        told.append(
            f"Differences in R@1 of less than about {max(1, round(max(widths) / 2))} points may be "
            "chance here" + (": more held-out photos would tell." if max(widths) > 4 else ".")
        )
    if held_out.split == "val":
        told.append(
            "The same photos were watched while training. Nothing was chosen by them (each stage "
            "ends at its last step), but whoever now tries settings until they look best, does."
        )
    told.append(
        "Readable: nouns of a photo's captions, found by a tagger, are looked for among the "
        "photo's strongest tokens, of the whole vocabulary; for a dense model among the tokens "
        "whose text vectors are nearest. Captions do not name all that is in a photo."
    )
    return told


def thumbnail(photo: Path, decode: Decode) -> str:
    """A small JPEG as a data URI."""
    picture = decode(photo.read_bytes())
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    file = BytesIO()
    picture.save(file, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _asked(name: str, total: int, tell: Tell) -> Callable[[int], None]:
    return lambda done: tell(f"{name}: asked for {done:,} of {total:,} tokens, to rank them")


def _stage(
    name: str,
    series: str,
    dense: bool,
    about: Mapping[str, Any],
    settings: dict[str, str],
    log: Sequence[Mapping[str, Any]],
    measures: Measures | None,
) -> StageReport:
    terms: dict[str, list[tuple[float, float]]] = {}
    validation: dict[str, list[tuple[float, float]]] = {}
    penalty: dict[str, float] = {}
    last: dict[bool, list[str]] = {}
    for line in log:
        step = float(line["step"])
        for term, value in line.get("terms", {}).items():
            terms.setdefault(term, []).append((step, _number(value)))
        for key, value in _leaves(line.get("validation", {})):
            validation.setdefault(key, []).append((step, _number(value)))
        penalty |= line.get("lambda", {})
        last["validation" in line] = line.get("warnings", [])
    return StageReport(
        name,
        series,
        dense,
        int(about["steps"]),
        float(about["seconds"]),
        settings,
        penalty,
        terms,
        validation,
        # those of the end: a model that was sick and recovered is well
        list(dict.fromkeys(warning for found in last.values() for warning in found)),
        measures,
    )


def _shown(
    pairs: Pairs, photo: int, tokens: dict[str, dict[str, float]], decode: Decode
) -> PhotoReport:
    path = pairs.photos[photo]
    captions = [text for text, at in zip(pairs.captions, pairs.owner, strict=True) if at == photo]
    return PhotoReport(path.name, captions, tokens, thumbnail(path, decode))


def _width(interval: Interval) -> float:
    return interval.high - interval.low


def _settings(recipe: Mapping[str, Any], stage: Mapping[str, Any]) -> dict[str, str]:
    """Of a stage, those that people compare."""
    trained = [part for part in stage["trains"] if part not in stage["freezes"]]
    return {
        "batch": str(recipe["batch"]),
        "rate": f"{stage['rate']:g}",
        "trains": " ".join(trained),
        **({"captions": "own tokens only"} if stage["own_only"] else {}),
        **({"taught": "by the dense model"} if stage["losses"]["taught"] else {}),
    }


def _outputs(model: Path) -> int | None:
    """How many tokens a model can give; None of a dense one."""
    from safetensors import safe_open

    with safe_open(model / "model.safetensors", "np") as weights:
        if "outputs" not in weights.keys():  # noqa: SIM118 - it is no dictionary
            return None
        return int(weights.get_slice("outputs").get_shape()[0])


def finished(run: Path) -> list[Path]:
    """Folders of finished stages, in their order."""
    found = [path.parent for path in run.glob("stages/*/stage.json")]
    if not found:
        raise UsageError(f"{run} has no finished stage to report on: train first")
    return sorted(found, key=lambda path: int(path.name.split("-")[0]))


def _json(file: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    return found


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """A nested dictionary's values with their path as words.

    >>> dict(_leaves({"text_to_image": {"R@1": 3.0}, "dead_tokens": 5}))
    {'text to image R@1': 3.0, 'dead tokens': 5}
    """
    for key, value in tree.items():
        name = f"{above} {key}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from _leaves(value, name)
        elif isinstance(value, int | float) or value is None:
            yield name, value


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _flat(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
