"""The search itself: the only home of Optuna."""
