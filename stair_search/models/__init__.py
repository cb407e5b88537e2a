"""The networks in torch: towers, heads, the dual encoder, its files.

Knows nothing of losses, data and optimisers (training), nor of indexing (encoders).

Axes, in this whole room: b batch, p positions of a photo or text, t text tokens, h hidden, v
vocabulary, o outputs (the ids that a head may give; all of v unless restricted), d dense
dimensions, s pixels a side.
"""

from .backbones import image_backbone as image_backbone
from .backbones import text_backbone as text_backbone
from .config import HeadConfig as HeadConfig
from .config import ImageConfig as ImageConfig
from .config import ModelConfig as ModelConfig
from .config import TableConfig as TableConfig
from .config import TextConfig as TextConfig
from .config import TowerConfig as TowerConfig
from .dual_encoder import DualEncoder as DualEncoder
from .dual_encoder import build as build
from .files import fingerprint as fingerprint
from .files import from_pretrained as from_pretrained
from .files import save_pretrained as save_pretrained
from .states import States as States
