"""Runs the graphs of a file as their author would, with nothing of ours around them.

`python plainly.py graphs.py` takes {name of a graph: its input} as JSON, and gives {name: what it ended with}. Whoever asks is told yes.
"""

import asyncio
import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

ANSWER = "yes"


async def run(graph: Any, value: Any) -> Any:
    config = {"configurable": {"thread_id": "1"}}
    own = graph.copy(update={"checkpointer": InMemorySaver()})
    output = await own.ainvoke(value, config)
    while "__interrupt__" in output:
        output = await own.ainvoke(Command(resume=ANSWER), config)
    return output


def plain(value: object) -> Any:
    if isinstance(value, BaseMessage):
        fields = ("type", "content", "name", "tool_calls")
        return {name: found for name in fields if (found := getattr(value, name, None))}
    assert isinstance(value, BaseModel)
    return value.model_dump()


async def main() -> None:
    spec = spec_from_file_location("graphs", sys.argv[1])
    assert spec is not None
    assert spec.loader is not None
    graphs = sys.modules["graphs"] = module_from_spec(spec)
    spec.loader.exec_module(graphs)
    outputs = {name: await run(getattr(graphs, name), value) for name, value in json.load(sys.stdin).items()}
    json.dump(outputs, sys.stdout, default=plain)


if __name__ == "__main__":
    asyncio.run(main())
