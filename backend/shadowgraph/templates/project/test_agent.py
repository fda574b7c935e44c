"""Tries the graph without a server: outside a run, what it takes from Shadowgraph works plainly."""

import asyncio
import os
import unittest
from unittest.mock import patch

from agent import count_words, graph


class TestAgent(unittest.TestCase):
    @patch.dict(os.environ, {"GROQ_API_KEY": ""})  # the offline model answers: no key, no cost
    def test_a_topic_becomes_a_briefing(self) -> None:
        state = asyncio.run(graph.ainvoke({"topic": "tea"}))

        assert state["points"]
        assert state["text"]
        assert state["words"] == len(state["text"].split())

    def test_words_are_counted(self) -> None:
        assert count_words.invoke({"text": "one two three"}) == 3


if __name__ == "__main__":
    unittest.main()
