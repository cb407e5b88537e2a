"""A torch model as a light folder, which needs neither torch nor transformers to be asked."""

from .light import export as export
