"""Answers of a given shape: the model is made to call one tool whose arguments are the shape."""

from operator import itemgetter
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import ValidationError

from shadowgraph.authoring.messages import to_message
from shadowgraph.core.calls import Completion

MAX_REASON_CHARACTERS = 600


class StructuredAnswer:
    """What an answer must look like: a Pydantic model, a TypedDict or a JSON schema with a title."""

    def __init__(self, schema: dict[str, Any] | type) -> None:
        function = convert_to_openai_tool(schema)["function"]
        self.name: str = function["name"]
        self.json_schema: dict[str, Any] = function["parameters"]
        self.parser = _build_parser(schema, self.name)

    def refuse(self, completion: Completion) -> str | None:
        """`core.calls.AnswerCheck`: looks with the same parser that the author's code gets the answer from."""
        if self.name not in {call.name for call in completion.tool_calls}:
            return f"the answer does not call {self.name}"
        try:
            self.parser.invoke(to_message(completion))
        except ValueError as error:  # also LangChain's OutputParserException and Pydantic's ValidationError
            return f"the arguments of {self.name} do not fit: {_summary(error)}"
        return None

    def parse_from(self, model: Runnable[Any, BaseMessage], *, include_raw: bool) -> Runnable[Any, Any]:
        """With `include_raw` a dict of `raw`, `parsed` and `parsing_error`, which never raises for an answer of the wrong shape."""
        if not include_raw:
            return model | self.parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | self.parser, parsing_error=lambda _: None)
        nothing = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([nothing], exception_key="parsing_error")


def _build_parser(schema: dict[str, Any] | type, name: str) -> BaseOutputParser[Any]:
    if isinstance(schema, type) and is_basemodel_subclass(schema):  # of either major version
        return PydanticToolsParser(tools=[schema], first_tool_only=True)
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def _summary(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)]
        return "; ".join(problems)[:MAX_REASON_CHARACTERS]
    return str(error)[:MAX_REASON_CHARACTERS]
