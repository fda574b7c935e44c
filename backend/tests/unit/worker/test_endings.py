from shadowgraph.worker.endings import (
    describe_block,
    describe_exit,
    describe_memory,
    describe_silence,
    pause_before_next,
)


def test_an_exit_is_told_by_code_or_signal() -> None:
    assert describe_exit(7) == "exit code 7"
    assert describe_exit(-9) == "killed by signal 9 (SIGKILL)"
    assert describe_exit(-63) == "killed by signal 63"
    assert "started it" in describe_exit(None)


def test_memory_is_told_in_megabytes() -> None:
    assert describe_memory(512 << 20) == "more than 512 MB of memory"


def test_what_stands_still_is_told_apart() -> None:
    assert describe_silence(22.5).startswith("no sign of life for 22.5 s")
    assert describe_block(600).startswith("a node held its event loop for 600 s")


def test_pauses_grow_up_to_a_limit() -> None:
    pauses = [pause_before_next(troubles) for troubles in range(12)]

    assert pauses == sorted(pauses)
    assert pauses[0] < 1
    assert pauses[-1] == pause_before_next(1_000) == 30
