"""Photo or text to `TokenWeights`: from a light folder without torch, or from a folder of torch.

Questions to a light folder's table need numpy alone; onnxruntime, pillow and torch are imported
when they are first needed.
"""

from .encoder import DenseEncoder as DenseEncoder
from .encoder import Encoder as Encoder
from .load import load_any_encoder as load_any_encoder
from .load import load_encoder as load_encoder
