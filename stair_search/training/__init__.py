"""How models are trained, and what is told about it.

Needs the extra [train]. Modules in the order of the work, then rooms of their own:

    recipe      what is trained and how, from recipes/*.toml
    data        photos with captions, and who is in which step; samples: those as tensors
    views       ways to look at a photo; features: what frozen towers see, kept on disk
    start       a recipe's model before its first step; ridge: heads that start at a regression
    run         stage after stage; trainer: a stage's loop; step: a batch to its loss
    losses      the loss's terms; schedules: how their weights grow
    watch       what is measured on the way; log_lines: how it is written down

    adapt/      people's photos and captions into a model of their own
    report/     the page about a finished run
    export/     a torch model as a light folder
    starter/    how the starter that comes with the package is made
"""
