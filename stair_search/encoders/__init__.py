"""Photo or text to `TokenWeights`, without torch.

Questions need numpy alone; onnxruntime and pillow are imported when the first photo comes.
"""

from .encoder import Encoder as Encoder
from .encoder import load_encoder as load_encoder
