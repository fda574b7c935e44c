"""How large what a run carries may be, unless settings say otherwise."""

MAX_INPUT_BYTES = 256 * 1024
"""A request body, and with it a run's input, an answer or an edited state."""

MAX_STATE_BYTES = 5_000_000
"""What one checkpoint holds: a larger state belongs into artifacts, or every checkpoint costs seconds."""

MAX_OUTPUT_BYTES = 1_000_000
"""A run's output state, as JSON."""
