"""The closed lists of sums and budgets, for those who need nothing else."""

from typing import Literal

GroupBy = Literal["agent", "model", "provider", "version", "workflow", "run", "owner", "day"]

Subject = Literal["run", "agent", "workflow", "version", "owner", "provider", "everything"]
Window = Literal["run", "day", "month", "total"]
Action = Literal["warn", "pause", "fail", "fallback"]
