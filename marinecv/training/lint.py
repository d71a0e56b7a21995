"""Settings of a recipe that cannot act, found before an hour is spent on them."""

from marinecv.training.recipe import Recipe


def lint(recipe: Recipe) -> list[str]:
    """Return one sentence for each setting that has no effect or undoes another; empty when all act."""
    training, model = recipe.training, recipe.model
    found = []
    if training.early_stop_patience <= training.lr_patience < training.epochs:  # from there on it is meant never to act
        found.append(
            f"lr_patience={training.lr_patience} never acts: training stops after {training.early_stop_patience} "
            "epochs without progress. Set it below early_stop_patience."
        )
    if training.lr_factor >= 1:
        found.append(f"lr_factor={training.lr_factor} does not lower the learning rate. Set it below 1.")
    if training.class_weights and training.balanced:
        found.append("class_weights and balanced both answer imbalance: rare classes count twice. Choose one.")
    if model.has_backbone and not model.is_pretrained and model.trainable_layers == 0:
        found.append("The backbone is frozen with random weights: only the head learns, from random features.")
    if training.head_epochs and not model.has_backbone:
        found.append(
            f"head_epochs={training.head_epochs} never acts: a network from scratch has no backbone to freeze."
        )
    if model.has_backbone and training.head_epochs >= training.epochs:
        found.append(
            f"head_epochs={training.head_epochs} leaves no epoch of {training.epochs} to the backbone's last layers."
        )
    return found
