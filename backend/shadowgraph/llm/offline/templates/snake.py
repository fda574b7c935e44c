"""A snake game for the terminal: rules without a screen, a thin curses front, tests of the rules."""

import re

from shadowgraph.llm.offline.templates.base import UNIT_TESTS, Program, SourceFile, TemplateEntry, render

_MIN_SIDE, _MAX_SIDE = 6, 60
_SNAKE = re.compile(
    r"\bsnake\b(?![ _-]?case)|\bschlangenspiel\b|\bjeu (?:du|de) serpent\b|\bjuego de la (?:serpiente|culebrita)\b"
)
_SIZE = re.compile(r"\b(\d{1,3})\s?(?:x|×|by)\s?(\d{1,3})\b")
_WRAP = re.compile(r"\bwrap(?:s|ping|around)?\b|\b(?:no|without) walls\b|\bpass(?:es)? through (?:the )?walls\b")


def match(text: str) -> int:
    return 4 if _SNAKE.search(text) else 0


def build(request: str) -> Program:
    text = request.lower()
    width, height = _read_size(text)
    wraps = bool(_WRAP.search(text))
    values = {"width": str(width), "height": str(height), "wrap": str(wraps)}
    edges = (
        "The edges are open: the snake leaves on one side and comes back on the other."
        if wraps
        else "Hitting a wall ends the game."
    )
    return Program(
        template="snake",
        title="Snake for the terminal",
        summary=f"A snake game on a {width} × {height} board for the terminal, with growing speed, pause and restart. {edges}",
        files=(
            SourceFile(
                "game.py", render(_GAME, **values), "the rules: movement, growth, collisions, speed; no screen needed"
            ),
            SourceFile(
                "play.py", render(_PLAY, **values), "draws the board with curses and turns key presses into moves"
            ),
            SourceFile("test_game.py", render(_TESTS, **values), "tests of the rules and of the drawn board"),
        ),
        run_command="python3 play.py",
        test_command=UNIT_TESTS,
        design=(
            "The rules live in game.py and know nothing of the terminal, so each of them is tested without one.",
            "The random generator is handed in as a seed, so a test can say where the food will be.",
            "A turn is checked against the direction of the last step: two quick key presses cannot turn the snake into itself.",
            "play.py stays thin: it reads a key, asks the game for one tick and prints the lines it gets.",
        ),
        limitations=(
            "The terminal front needs Python's curses module, which Windows lacks (install windows-curses there).",
            "High scores are not kept between games.",
        ),
    )


def _read_size(text: str) -> tuple[int, int]:
    found = _SIZE.search(text)
    if not found:
        return 24, 14
    return _clamp(int(found[1])), _clamp(int(found[2]))


def _clamp(side: int) -> int:
    return max(_MIN_SIDE, min(_MAX_SIDE, side))


_GAME = '''
"""The rules of Snake: no screen, no keyboard, no clock, so every rule can be tested."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from enum import Enum

Cell = tuple[int, int]
"""Column and row; (0, 0) is the upper left corner."""

START_LENGTH = 3
SLOWEST_TICK_MS = 160
FASTEST_TICK_MS = 60


class Direction(Enum):
    UP = (0, -1)
    DOWN = (0, 1)
    LEFT = (-1, 0)
    RIGHT = (1, 0)

    def is_opposite_of(self, other: Direction) -> bool:
        return self.value == (-other.value[0], -other.value[1])


class State(Enum):
    PLAYING = "playing"
    LOST = "lost"
    WON = "won"


class Game:
    """One game. Call `turn` whenever a key is pressed and `tick` once per step."""

    def __init__(self, width: int = $width, height: int = $height, *, wrap: bool = $wrap, seed: int | None = None) -> None:
        if width < START_LENGTH + 1 or height < 1:
            raise ValueError(f"a board of {width} x {height} is too small")
        self.width = width
        self.height = height
        self.wrap = wrap
        self.state = State.PLAYING
        self.score = 0
        self._random = random.Random(seed)
        self._direction = Direction.RIGHT
        self._next_direction = Direction.RIGHT
        middle = height // 2
        first = max(START_LENGTH - 1, width // 3)
        self.snake: deque[Cell] = deque((first - offset, middle) for offset in range(START_LENGTH))
        self.food: Cell | None = self._find_free_cell()

    @property
    def head(self) -> Cell:
        return self.snake[0]

    @property
    def tick_ms(self) -> int:
        """Time between two steps: it shrinks as the snake grows."""
        return max(FASTEST_TICK_MS, SLOWEST_TICK_MS - 4 * self.score)

    def turn(self, direction: Direction) -> None:
        """Takes effect with the next tick. A turn back into the own neck is ignored."""
        if not direction.is_opposite_of(self._direction):
            self._next_direction = direction

    def tick(self) -> None:
        """Moves the snake by one cell."""
        if self.state is not State.PLAYING:
            return
        self._direction = self._next_direction
        target = self._next_cell()
        if target is None or self._bites_itself(target):
            self.state = State.LOST
            return
        self.snake.appendleft(target)
        if target == self.food:
            self._eat()
        else:
            self.snake.pop()

    def _next_cell(self) -> Cell | None:
        """The cell in front of the head, or None when there is a wall."""
        x = self.head[0] + self._direction.value[0]
        y = self.head[1] + self._direction.value[1]
        if self.wrap:
            return x % self.width, y % self.height
        return (x, y) if 0 <= x < self.width and 0 <= y < self.height else None

    def _bites_itself(self, target: Cell) -> bool:
        # The last cell is about to be left, so the head may enter it, unless the snake grows in this step.
        body = list(self.snake) if target == self.food else list(self.snake)[:-1]
        return target in body

    def _eat(self) -> None:
        self.score += 1
        self.food = self._find_free_cell()
        if self.food is None:
            self.state = State.WON

    def _find_free_cell(self) -> Cell | None:
        taken = set(self.snake)
        free = [cell for cell in self._all_cells() if cell not in taken]
        return self._random.choice(free) if free else None

    def _all_cells(self) -> Iterable[Cell]:
        return ((x, y) for y in range(self.height) for x in range(self.width))


def draw(game: Game) -> list[str]:
    """The board as text, one string per line: `@` head, `o` body, `*` food. Every cell is two characters wide."""
    marks = dict.fromkeys(game.snake, "o")
    marks[game.head] = "@"
    if game.food is not None:
        marks[game.food] = "*"
    border = "+" + "-" * (2 * game.width) + "+"
    rows = ("".join(marks.get((x, y), " ") + " " for x in range(game.width)) for y in range(game.height))
    return [border, *(f"|{row}|" for row in rows), border]
'''

_PLAY = '''
"""Play Snake in the terminal: `python3 play.py`."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

try:
    import curses
except ImportError:
    sys.exit("This terminal has no curses support. On Windows: pip install windows-curses")

from game import Direction, Game, State, draw

HELP = "arrows or WASD: move   p: pause   r: restart   q: quit"
DIRECTIONS = {
    curses.KEY_UP: Direction.UP,
    curses.KEY_DOWN: Direction.DOWN,
    curses.KEY_LEFT: Direction.LEFT,
    curses.KEY_RIGHT: Direction.RIGHT,
    ord("w"): Direction.UP,
    ord("s"): Direction.DOWN,
    ord("a"): Direction.LEFT,
    ord("d"): Direction.RIGHT,
}


def main() -> None:
    options = parse_options()
    try:
        score = curses.wrapper(play, options)
    except curses.error:
        sys.exit(f"The terminal is too small for a board of {options.width} x {options.height}. Try: play.py --width 12 --height 8")
    print(f"Score: {score}")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Snake for the terminal.")
    parser.add_argument("--width", type=int, default=$width, help="columns of the board")
    parser.add_argument("--height", type=int, default=$height, help="rows of the board")
    parser.add_argument("--wrap", action=argparse.BooleanOptionalAction, default=$wrap, help="open edges instead of walls")
    parser.add_argument("--seed", type=int, help="the same seed gives the same food")
    return parser.parse_args()


def play(screen: curses.window, options: argparse.Namespace) -> int:
    """Runs games until the player quits; returns the last score."""
    with contextlib.suppress(curses.error):  # some terminals cannot hide the cursor
        curses.curs_set(0)
    game, is_paused = new_game(options), False
    next_tick = time.monotonic()
    while True:
        show(screen, game, is_paused)
        screen.timeout(max(0, round(1000 * (next_tick - time.monotonic()))))
        key = screen.getch()
        if key == ord("q"):
            return game.score
        if key == ord("r"):
            game, is_paused = new_game(options), False
        elif key == ord("p"):
            is_paused = not is_paused
        elif key in DIRECTIONS:
            game.turn(DIRECTIONS[key])
        # The clock decides when the snake moves: a key that is held down must not make it faster.
        if time.monotonic() >= next_tick:
            next_tick = time.monotonic() + game.tick_ms / 1000
            if not is_paused:
                game.tick()


def new_game(options: argparse.Namespace) -> Game:
    return Game(options.width, options.height, wrap=options.wrap, seed=options.seed)


def show(screen: curses.window, game: Game, is_paused: bool) -> None:
    screen.erase()
    screen.addstr(0, 0, f"Score {game.score}   {describe(game, is_paused)}")
    for row, line in enumerate(draw(game), start=1):
        screen.addstr(row, 0, line)
    screen.addstr(game.height + 3, 0, HELP)
    screen.refresh()


def describe(game: Game, is_paused: bool) -> str:
    if game.state is State.LOST:
        return "Game over. Press r to play again."
    if game.state is State.WON:
        return "The board is full: you won! Press r to play again."
    return "Paused" if is_paused else ""


if __name__ == "__main__":
    main()
'''

_TESTS = '''
"""Tests of the rules. Run them with: python3 -m unittest -q"""

from __future__ import annotations

import unittest
from collections import deque

from game import FASTEST_TICK_MS, Direction, Game, State, draw


def game_with(snake: list[tuple[int, int]], food: tuple[int, int], *, width: int = 8, height: int = 6, wrap: bool = False) -> Game:
    """A game in a known position; the first cell is the head, which looks to the right."""
    game = Game(width, height, wrap=wrap, seed=1)
    game.snake = deque(snake)
    game.food = food
    return game


class MovementTest(unittest.TestCase):
    def test_the_snake_moves_one_cell_per_tick(self) -> None:
        game = game_with([(3, 2), (2, 2), (1, 2)], food=(0, 0))

        game.tick()

        self.assertEqual(list(game.snake), [(4, 2), (3, 2), (2, 2)])

    def test_a_turn_takes_effect_with_the_next_tick(self) -> None:
        game = game_with([(3, 2), (2, 2), (1, 2)], food=(0, 0))

        game.turn(Direction.DOWN)
        game.tick()

        self.assertEqual(game.head, (3, 3))

    def test_the_snake_cannot_turn_back_into_its_neck(self) -> None:
        game = game_with([(3, 2), (2, 2), (1, 2)], food=(0, 0))

        game.turn(Direction.LEFT)
        game.tick()

        self.assertEqual(game.head, (4, 2))

    def test_two_quick_turns_cannot_reverse_the_snake(self) -> None:
        game = game_with([(3, 2), (2, 2), (1, 2)], food=(0, 0))

        game.turn(Direction.UP)
        game.turn(Direction.LEFT)
        game.tick()

        self.assertEqual(game.state, State.PLAYING)
        self.assertEqual(game.head, (3, 1))


class FoodTest(unittest.TestCase):
    def test_eating_makes_the_snake_longer_and_scores(self) -> None:
        game = game_with([(3, 2), (2, 2), (1, 2)], food=(4, 2))

        game.tick()

        self.assertEqual(len(game.snake), 4)
        self.assertEqual(game.score, 1)

    def test_new_food_never_lies_on_the_snake(self) -> None:
        for seed in range(50):
            game = Game(6, 3, seed=seed)
            self.assertNotIn(game.food, game.snake)

    def test_the_same_seed_gives_the_same_food(self) -> None:
        self.assertEqual(Game(seed=7).food, Game(seed=7).food)

    def test_filling_the_board_wins(self) -> None:
        game = game_with([(2, 0), (1, 0), (0, 0)], food=(3, 0), width=4, height=1)

        game.tick()

        self.assertEqual(game.state, State.WON)

    def test_the_game_gets_faster_up_to_a_limit(self) -> None:
        game = Game(seed=1)
        slow = game.tick_ms

        game.score = 5
        faster = game.tick_ms
        game.score = 10_000

        self.assertLess(faster, slow)
        self.assertEqual(game.tick_ms, FASTEST_TICK_MS)


class EndTest(unittest.TestCase):
    def test_a_wall_ends_the_game(self) -> None:
        game = game_with([(7, 2), (6, 2), (5, 2)], food=(0, 0))

        game.tick()

        self.assertEqual(game.state, State.LOST)

    def test_with_open_edges_the_snake_comes_back_on_the_other_side(self) -> None:
        game = game_with([(7, 2), (6, 2), (5, 2)], food=(0, 0), wrap=True)

        game.tick()

        self.assertEqual(game.head, (0, 2))
        self.assertEqual(game.state, State.PLAYING)

    def test_biting_itself_ends_the_game(self) -> None:
        game = game_with([(3, 2), (4, 2), (4, 3), (3, 3), (2, 3)], food=(0, 0))

        game.turn(Direction.DOWN)
        game.tick()

        self.assertEqual(game.state, State.LOST)

    def test_the_head_may_follow_the_tail(self) -> None:
        game = game_with([(3, 2), (3, 3), (4, 3), (4, 2)], food=(0, 0))

        game.tick()

        self.assertEqual(game.state, State.PLAYING)

    def test_nothing_moves_after_the_end(self) -> None:
        game = game_with([(7, 2), (6, 2), (5, 2)], food=(0, 0))
        game.tick()
        before = list(game.snake)

        game.tick()

        self.assertEqual(list(game.snake), before)


class BoardTest(unittest.TestCase):
    def test_the_drawing_shows_head_body_and_food(self) -> None:
        game = game_with([(2, 0), (1, 0), (0, 0)], food=(3, 1), width=4, height=2)

        self.assertEqual(draw(game), ["+--------+", "|o o @   |", "|      * |", "+--------+"])

    def test_a_board_that_is_too_small_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            Game(2, 2)


if __name__ == "__main__":
    unittest.main()
'''

TEMPLATE = TemplateEntry("snake", match, build)
