"""Answers in a shape."""

from collections.abc import Sequence
from typing import TypeVar

from langchain_core.messages import BaseMessage
from pydantic import BaseModel

from shadowgraph import chat_model

Answer = TypeVar("Answer", bound=BaseModel)


async def ask(agent: str, messages: Sequence[BaseMessage], *, answer: type[Answer]) -> Answer:
    """An answer that does not fit is asked for once more with the reason; after that the call fails."""
    found = await chat_model(agent).with_structured_output(answer).ainvoke(list(messages))
    return answer.model_validate(found)
