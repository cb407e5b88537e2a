"""The report of a training: one page that says how good, how sparse and how readable each stage is.

runs       finds out what a report says, of the runs of `stair_search.training.run`
vectors    what a stage's model gives for held-out photos and captions; measures: how good it is
page       what a report says, as plain data, and its page (page.html); charts: its pictures
"""
