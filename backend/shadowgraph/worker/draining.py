"""How long a worker takes to stop."""

DRAIN_SECONDS = 25.0
"""How long a shutdown waits for node boundaries; below the 30 s that Kubernetes gives."""

HAND_BACK_SECONDS = 5.0
"""How long it then waits for the runs that were cut to be handed back."""
