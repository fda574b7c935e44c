"""Functions on lists."""

from shadowgraph.llm.offline.templates.recipes.base import Recipe

BINARY_SEARCH = Recipe(
    name="binary_search",
    words=r"binary search",
    does="the position of a value in a sorted list",
    source='''
from collections.abc import Sequence


def binary_search(numbers: Sequence[int], wanted: int) -> int:
    """The position of a value in a list that is sorted upwards, or -1 when it is not there."""
    low, high = 0, len(numbers) - 1
    while low <= high:
        middle = (low + high) // 2
        if numbers[middle] == wanted:
            return middle
        if numbers[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1
''',
    cases="(([1, 3, 5, 7], 5), 2),\n(([1, 3, 5, 7], 4), -1),\n(([], 1), -1),\n(([2], 2), 0),",
    laws="""
def test_every_value_is_found_where_it_stands(self) -> None:
    numbers = list(range(0, 300, 3))
    for position, number in enumerate(numbers):
        self.assertEqual(binary_search(numbers, number), position)
        self.assertEqual(binary_search(numbers, number + 1), -1)
""",
)

MERGE_SORT = Recipe(
    name="merge_sort",
    words=r"merge ?sort|sorting (?:algorithm|function)|sort(?:s|ing)? (?:a |an |the )?(?:list|array)s?(?: of numbers)?",
    does="a sorted copy of a list, by merge sort",
    source='''
from collections.abc import Sequence


def merge_sort(numbers: Sequence[float]) -> list[float]:
    """A new list with the numbers in ascending order. Equal numbers keep their order; takes n log n comparisons."""
    if len(numbers) < 2:
        return list(numbers)
    middle = len(numbers) // 2
    return _merge(merge_sort(numbers[:middle]), merge_sort(numbers[middle:]))


def _merge(left: list[float], right: list[float]) -> list[float]:
    merged: list[float] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]
''',
    cases="(([3, 1, 2],), [1, 2, 3]),\n(([],), []),\n(([5, 5, 1],), [1, 5, 5]),\n(([-1, 2.5, -3],), [-3, -1, 2.5]),",
    laws="""
def test_it_sorts_like_the_built_in_sort(self) -> None:
    numbers = [(number * 7919) % 101 for number in range(200)]
    self.assertEqual(merge_sort(numbers), sorted(numbers))

def test_the_given_list_is_left_alone(self) -> None:
    numbers = [2, 1]
    merge_sort(numbers)
    self.assertEqual(numbers, [2, 1])
""",
)

BUBBLE_SORT = Recipe(
    name="bubble_sort",
    words=r"bubble ?sort",
    does="a sorted copy of a list, by bubble sort",
    source='''
from collections.abc import Sequence


def bubble_sort(numbers: Sequence[float]) -> list[float]:
    """A new list with the numbers in ascending order. Simple and slow: n * n comparisons at worst."""
    result = list(numbers)
    for end in range(len(result) - 1, 0, -1):
        has_swapped = False
        for position in range(end):
            if result[position] > result[position + 1]:
                result[position], result[position + 1] = result[position + 1], result[position]
                has_swapped = True
        if not has_swapped:
            break
    return result
''',
    cases="(([3, 1, 2],), [1, 2, 3]),\n(([],), []),\n(([5, 5, 1],), [1, 5, 5]),",
    laws="""
def test_it_sorts_like_the_built_in_sort(self) -> None:
    numbers = [(number * 7919) % 101 for number in range(100)]
    self.assertEqual(bubble_sort(numbers), sorted(numbers))
""",
)

QUICK_SORT = Recipe(
    name="quick_sort",
    words=r"quick ?sort",
    does="a sorted copy of a list, by quicksort",
    source='''
from collections.abc import Sequence


def quick_sort(numbers: Sequence[float]) -> list[float]:
    """A new list with the numbers in ascending order. The middle element divides the list, so sorted lists are not slow."""
    if len(numbers) < 2:
        return list(numbers)
    pivot = numbers[len(numbers) // 2]
    smaller = [number for number in numbers if number < pivot]
    equal = [number for number in numbers if number == pivot]
    larger = [number for number in numbers if number > pivot]
    return quick_sort(smaller) + equal + quick_sort(larger)
''',
    cases="(([3, 1, 2],), [1, 2, 3]),\n(([],), []),\n(([5, 5, 1],), [1, 5, 5]),",
    laws="""
def test_it_sorts_like_the_built_in_sort(self) -> None:
    numbers = [(number * 7919) % 101 for number in range(200)]
    self.assertEqual(quick_sort(numbers), sorted(numbers))
""",
)

FLATTEN = Recipe(
    name="flatten",
    words=r"flatten\w*|nested lists?",
    does="the elements of nested lists in one list",
    source='''
from typing import Any


def flatten(nested: list[Any]) -> list[Any]:
    """The elements of a list of lists of any depth, in order. Texts and tuples count as elements."""
    flat: list[Any] = []
    stack = [iter(nested)]
    while stack:
        for element in stack[-1]:
            if isinstance(element, list):
                stack.append(iter(element))
                break
            flat.append(element)
        else:
            stack.pop()
    return flat
''',
    cases='(([1, [2, [3, []]], 4],), [1, 2, 3, 4]),\n(([],), []),\n((["ab", ["cd"]],), ["ab", "cd"]),',
    laws="""
def test_very_deep_lists_are_no_problem(self) -> None:
    nested: list[Any] = [1]
    for _ in range(10_000):
        nested = [nested]
    self.assertEqual(flatten(nested), [1])
""",
)

UNIQUE = Recipe(
    name="unique",
    words=r"(?:remov\w+|without|delet\w+|drop\w*) duplicates?|de-?duplicat\w+|unique (?:elements|values|items)",
    does="a list without duplicates, in the old order",
    source='''
from collections.abc import Hashable, Iterable
from typing import TypeVar

Element = TypeVar("Element", bound=Hashable)


def unique(elements: Iterable[Element]) -> list[Element]:
    """Each element once, in the order of first appearance."""
    return list(dict.fromkeys(elements))
''',
    cases='(([3, 1, 3, 2, 1],), [3, 1, 2]),\n(([],), []),\n((["b", "a", "b"],), ["b", "a"]),',
    laws="""
def test_a_second_pass_changes_nothing(self) -> None:
    self.assertEqual(unique(unique([2, 2, 1])), unique([2, 2, 1]))
""",
)

CHUNK = Recipe(
    name="split_into_chunks",
    words=r"chunk\w*|split(?:s|ting)? (?:a |an |the )?list into",
    does="a list cut into pieces of equal size",
    source='''
from collections.abc import Sequence
from typing import TypeVar

Element = TypeVar("Element")


def split_into_chunks(elements: Sequence[Element], size: int) -> list[list[Element]]:
    """Pieces of `size` elements each; the last may be shorter. Raises ValueError when size is not positive."""
    if size < 1:
        raise ValueError("size must be 1 or more")
    return [list(elements[start : start + size]) for start in range(0, len(elements), size)]
''',
    cases="(([1, 2, 3, 4, 5], 2), [[1, 2], [3, 4], [5]]),\n(([], 3), []),\n(([1], 9), [[1]]),",
    refused="(([1], 0), ValueError),",
    laws="""
def test_the_pieces_make_up_the_whole(self) -> None:
    for size in range(1, 12):
        self.assertEqual(sum(split_into_chunks(range(10), size), []), list(range(10)))
""",
)

STATISTICS = Recipe(
    name="mean",
    words=r"(?:arithmetic )?mean (?:of|and)|median|average of (?:a |the )?(?:list|numbers)",
    does="mean and median of numbers",
    source='''
from collections.abc import Sequence


def mean(numbers: Sequence[float]) -> float:
    """The arithmetic mean. Raises ValueError when there are no numbers."""
    if not numbers:
        raise ValueError("there is no mean of no numbers")
    return sum(numbers) / len(numbers)


def median(numbers: Sequence[float]) -> float:
    """The middle of the sorted numbers, or the mean of the two middle ones. Raises ValueError when there are none."""
    if not numbers:
        raise ValueError("there is no median of no numbers")
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
''',
    cases="(([1, 2, 3],), 2.0),\n(([5],), 5.0),\n(([1, 2],), 1.5),",
    refused="(([],), ValueError),",
    laws="""
def test_the_median_ignores_how_far_the_extremes_lie(self) -> None:
    self.assertEqual(median([1, 2, 1_000_000]), 2)
    self.assertEqual(median([4, 1, 3, 2]), 2.5)

def test_there_is_no_median_of_nothing(self) -> None:
    with self.assertRaises(ValueError):
        median([])
""",
)

LIST_RECIPES = (BINARY_SEARCH, BUBBLE_SORT, QUICK_SORT, MERGE_SORT, FLATTEN, UNIQUE, CHUNK, STATISTICS)
