from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.json import JsonObject
from shadowgraph.llm.shorten import MIN_CHARACTERS, room_for, shorten_request
from shadowgraph.llm.usage import estimate_prompt_tokens

RULES: JsonObject = {"role": "system", "content": "Never shorten this. " * 40}


def says(role: str, text: str) -> JsonObject:
    return {"role": role, "content": text}


def request(*messages: JsonObject, **parameters: int) -> LlmRequest:
    return LlmRequest(agent="coder", messages=messages, parameters=parameters)


def test_the_longest_texts_are_cut_and_say_so_and_the_rest_stays() -> None:
    page = says("tool", "begin" + "x" * 40_000 + "end")
    whole = request(RULES, says("user", "What does it say?"), page, max_tokens=100)

    shorter = shorten_request(whole, context_tokens=4_100)

    assert shorter is not None
    assert shorter.request.messages[:2] == [RULES, says("user", "What does it say?")]
    text = str(shorter.request.messages[2]["content"])
    assert text.startswith("beginx")
    assert "cut: " in text
    assert text.endswith("xend")
    assert 3_100 < estimate_prompt_tokens(shorter.request) <= 3_200, "80 % of what is left beside the answer"
    assert shorter.left_out_characters == 40_008 - len(text)


def test_a_conversation_of_short_messages_loses_its_oldest_turns() -> None:
    turns = [message for n in range(50) for message in (says("user", f"question {n}"), says("assistant", "yes " * 30))]
    whole = request(RULES, *turns, says("user", "the last one"))

    shorter = shorten_request(whole, context_tokens=None)

    assert shorter is not None
    rules, note, first, *_, last = shorter.request.messages
    assert (rules, last) == (RULES, says("user", "the last one"))
    assert "earlier messages" in str(note["content"])
    assert first["role"] == "user", "a turn stays whole"
    assert estimate_prompt_tokens(shorter.request) <= estimate_prompt_tokens(whole) / 2


def test_a_tool_call_keeps_its_result() -> None:
    call: JsonObject = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "call_1", "function": {"name": "f"}}],
    }
    result: JsonObject = {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "x" * 9_000}]}

    shorter = shorten_request(request(says("user", "Look."), call, result), context_tokens=None)

    assert shorter is not None
    assert shorter.request.messages[1] == call
    assert shorter.request.messages[2]["tool_call_id"] == "call_1"


def test_nothing_is_left_to_cut() -> None:
    assert shorten_request(request(RULES, says("user", "x" * MIN_CHARACTERS)), context_tokens=10) is None


def test_a_model_that_refuses_what_should_fit_gets_half_of_it() -> None:
    whole = request(says("user", "x" * 4_000))

    assert room_for(whole, context_tokens=100_000) == estimate_prompt_tokens(whole) // 2
