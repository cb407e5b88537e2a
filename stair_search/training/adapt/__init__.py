"""`stair-search adapt`: people's photos and captions become a model of their own, with its report.

workflow   plans it and does it, or what is left of it
choices    what is chosen, and why; speed: what that is reckoned from
pairs      captions that a training can rely on; folder: what was asked for and chosen, on disk
recipes    STAIR and CLIP, for `stair_search.training.run`; report: both, measured
"""
