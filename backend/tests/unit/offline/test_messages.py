from typing import Any

from shadowgraph.llm.offline.messages import Section, read_conversation, read_sections, text_of

FEEDBACK = {
    "role": "user",
    "content": "Your previous answer could not be used: files is missing\nAnswer again and mend that.",
}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str = "", *calls: tuple[str, str], name: str | None = None) -> dict[str, Any]:
    tool_calls = [{"id": call_id, "function": {"name": tool, "arguments": "{}"}} for call_id, tool in calls]
    return {"role": "assistant", "content": text, "tool_calls": tool_calls, **({"name": name} if name else {})}


def test_the_request_is_what_stands_in_the_marked_section() -> None:
    chat = [
        {"role": "system", "content": "Plan."},
        user("Plan this:\n<request>\nBuild X\n</request>\n<notes>n</notes>"),
    ]

    conversation = read_conversation(chat)

    assert conversation.request == "Build X"
    assert conversation.sections == (Section("notes", "n"),)
    assert "Plan this:" in conversation.instructions


def test_a_marked_request_counts_even_when_later_messages_have_none() -> None:
    chat = [user("<request>Build X</request>"), assistant("files"), user("The check failed: <problem>p</problem>")]

    assert read_conversation(chat).request == "Build X"


def test_without_a_mark_the_newest_message_of_the_user_counts() -> None:
    assert read_conversation([user("Build X"), assistant("done"), user("Now build Y")]).request == "Now build Y"


def test_feedback_on_an_answer_is_no_request() -> None:
    assert read_conversation([user("Build X"), assistant("bad"), FEEDBACK]).request == "Build X"


def test_a_request_without_any_user_message_is_empty() -> None:
    assert read_conversation([]).request == ""
    assert read_conversation([{"role": "system", "content": "Hi"}]).request == ""


def test_results_of_this_turn_are_known_by_the_tool_that_was_called() -> None:
    chat = [
        user("old"),
        assistant("", ("1", "search")),
        {"role": "tool", "tool_call_id": "1", "content": "old result"},
        user("new"),
        assistant("", ("2", "weather"), ("3", "clock")),
        {"role": "tool", "tool_call_id": "2", "content": "sunny"},
        {"role": "tool", "tool_call_id": "3", "name": "time", "content": "noon"},
    ]

    results = read_conversation(chat).results

    assert [(result.tool, result.text) for result in results] == [("weather", "sunny"), ("time", "noon")]


def test_assistants_with_names_have_spoken() -> None:
    assert read_conversation([user("x"), assistant("y", name="Writer")]).speakers == {"writer"}


def test_content_may_be_a_list_of_parts_or_absent() -> None:
    assert text_of({"content": [{"type": "text", "text": "a"}, "b", {"type": "image_url", "image_url": {}}]}) == "a\nb"
    assert text_of({"content": None}) == ""
    assert text_of({}) == ""


def test_characters_that_cannot_stand_in_files_are_left_out() -> None:
    assert text_of({"content": "a\x00b\ud800c\u202ed\te\n"}) == "abcd\te\n"


def test_sections_are_read_at_the_top_level_only() -> None:
    sections, loose = read_sections('x <a id="1">1 <b>2</b></a> y <open> z')

    assert sections == (Section("a", "1 <b>2</b>"),)
    assert loose == "x  y <open> z"
