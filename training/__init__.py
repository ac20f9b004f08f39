"""What trains a network: tasks, losses, optimizers, a training's state and its folder."""
