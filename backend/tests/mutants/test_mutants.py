"""That mutants are noticed takes minutes and is `python -m tests.mutants`; that each can still be planted is seen here."""

import pytest

from tests.mutants.catalogue import MUTANTS, Mutant
from tests.mutants.lab import BACKEND, DoesNotApply, mutated


def test_there_are_twenty() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == 20


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_applies(mutant: Mutant) -> None:
    source = (BACKEND / "shadowgraph" / mutant.path).read_text()

    compile(mutated(source, mutant), mutant.path, "exec")


def test_a_mutant_whose_text_is_gone_or_not_alone_is_an_error() -> None:
    mutant = Mutant("any", "any.py", "before", "after")

    for source in ("", "before before"):
        with pytest.raises(DoesNotApply):
            mutated(source, mutant)
