"""Which workers may claim a run. Derived, never stored: until there are versions a pool is a project, and has its name."""

from sqlalchemy import ColumnElement, Label, select

from shadowgraph.models.runs import runs
from shadowgraph.models.workflows import workflows


def pool_of(run_id: ColumnElement[str]) -> Label[str]:
    """A column for a statement that has run ids; NULL where no worker has registered the run's workflow: anybody may claim such a run.

    A subquery for each row, so that the plan is two primary keys whatever the database knows of the tables.
    """
    project = select(workflows.c.project).join(runs, runs.c.workflow == workflows.c.name).where(runs.c.id == run_id)
    return project.scalar_subquery().label("pool")
