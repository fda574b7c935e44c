"""Functions on text."""

from shadowgraph.llm.offline.templates.recipes.base import Recipe

IS_PALINDROME = Recipe(
    name="is_palindrome",
    words=r"palindrom(?:e|es|ic|o|os|en)?",
    does="whether a text reads the same in both directions",
    source='''
def is_palindrome(text: str) -> bool:
    """Whether a text reads the same forwards and backwards.

    Only letters and digits count; spaces, punctuation and case do not. An empty text is a palindrome.
    """
    letters = [char for char in text.casefold() if char.isalnum()]
    return letters == letters[::-1]
''',
    cases=(
        '(("racecar",), True),\n(("A man, a plan, a canal: Panama!",), True),\n(("Reliefpfeiler",), True),\n'
        '(("palindrome",), False),\n(("",), True),\n(("12321",), True),'
    ),
    laws="""
def test_a_text_and_its_mirror_image_are_always_a_palindrome(self) -> None:
    for text in ("a", "ab", "shadow", "été"):
        self.assertTrue(is_palindrome(text + text[::-1]))
""",
)

IS_ANAGRAM = Recipe(
    name="are_anagrams",
    words=r"anagrams?",
    does="whether two texts consist of the same letters",
    source='''
from collections import Counter


def are_anagrams(first: str, second: str) -> bool:
    """Whether two texts have the same letters and digits, each equally often. Case, spaces and punctuation do not count."""
    return _letters(first) == _letters(second)


def _letters(text: str) -> Counter[str]:
    return Counter(char for char in text.casefold() if char.isalnum())
''',
    cases=(
        '(("listen", "silent"), True),\n(("Dormitory", "dirty room"), True),\n(("apple", "pale"), False),\n'
        '(("aab", "abb"), False),\n(("", ""), True),'
    ),
    laws="""
def test_the_order_of_the_two_texts_does_not_matter(self) -> None:
    for first, second in (("listen", "silent"), ("apple", "pale")):
        self.assertEqual(are_anagrams(first, second), are_anagrams(second, first))
""",
)

REVERSE_WORDS = Recipe(
    name="reverse_text",
    words=r"revers(?:e|es|ing) (?:a |an |the |any |each )?(?:string|text|word|sentence)s?|string reversal",
    does="a text backwards, by letter or by word",
    source='''
def reverse_text(text: str) -> str:
    """The characters of a text in the opposite order."""
    return text[::-1]


def reverse_words(text: str) -> str:
    """The words of a text in the opposite order, with single spaces between them."""
    return " ".join(reversed(text.split()))
''',
    cases='(("abc",), "cba"),\n(("",), ""),\n(("été 1",), "1 été"),',
    laws="""
def test_reversing_twice_changes_nothing(self) -> None:
    for text in ("", "a", "Hello, world"):
        self.assertEqual(reverse_text(reverse_text(text)), text)

def test_words_are_reversed_as_a_whole(self) -> None:
    self.assertEqual(reverse_words("  one two   three "), "three two one")
""",
)

COUNT_WORDS = Recipe(
    name="count_words",
    words=r"word (?:counts?|counter|frequenc(?:y|ies))|count(?:s|ing)? (?:the |all )?words|counts? how often",
    does="how often each word occurs in a text",
    source='''
import re
from collections import Counter


def count_words(text: str) -> dict[str, int]:
    """How often each word occurs, the most frequent first and equals in alphabetical order. Case does not count."""
    counts = Counter(re.findall(r"[^\\W_]+(?:['’-][^\\W_]+)*", text.lower()))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
''',
    cases=(
        '(("the cat and the hat",), {"the": 2, "and": 1, "cat": 1, "hat": 1}),\n(("Don\'t, don\'t!",), {"don\'t": 2}),\n'
        '(("",), {}),\n(("été Été",), {"été": 2}),'
    ),
    laws="""
def test_the_most_frequent_word_comes_first(self) -> None:
    self.assertEqual(list(count_words("b a b c a b")), ["b", "a", "c"])
""",
)

COUNT_VOWELS = Recipe(
    name="count_vowels",
    words=r"vowels?",
    does="the number of vowels in a text",
    source='''
VOWELS = frozenset("aeiou")


def count_vowels(text: str) -> int:
    """How many of the letters a, e, i, o, u a text has; case does not count."""
    return sum(char in VOWELS for char in text.lower())
''',
    cases='(("education",), 5),\n(("RHYTHM",), 0),\n(("AEIOU",), 5),\n(("",), 0),',
    laws="""
def test_the_vowels_of_two_texts_add_up(self) -> None:
    self.assertEqual(count_vowels("over" + "due"), count_vowels("over") + count_vowels("due"))
""",
)

CAESAR = Recipe(
    name="caesar_encrypt",
    words=r"caesar(?: ?cipher)?|rot-?13",
    does="the Caesar cipher (a toy, not secure)",
    source='''
def caesar_encrypt(text: str, shift: int) -> str:
    """Moves each letter a to z by `shift` places in the alphabet, round the end; everything else stays as it is."""
    return "".join(_move(char, shift) for char in text)


def caesar_decrypt(text: str, shift: int) -> str:
    return caesar_encrypt(text, -shift)


def _move(char: str, shift: int) -> str:
    if not (char.isascii() and char.isalpha()):
        return char
    first = ord("A") if char.isupper() else ord("a")
    return chr(first + (ord(char) - first + shift) % 26)
''',
    cases='(("abc", 3), "def"),\n(("xyz", 3), "abc"),\n(("Hello, World!", 13), "Uryyb, Jbeyq!"),\n(("abc", 0), "abc"),\n(("abc", -1), "zab"),',
    laws="""
def test_decrypting_gives_the_text_back(self) -> None:
    for shift in range(-30, 31):
        self.assertEqual(caesar_decrypt(caesar_encrypt("Attack at dawn!", shift), shift), "Attack at dawn!")
""",
)

SLUGIFY = Recipe(
    name="slugify",
    words=r"slugif(?:y|ies)|slugs?",
    does="a text as part of a URL",
    source='''
import re
import unicodedata


def slugify(text: str) -> str:
    """Lower-case words joined by hyphens: `Crème brûlée!` becomes `creme-brulee`. Accents are dropped."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower()))
''',
    cases='(("Hello, World!",), "hello-world"),\n(("Crème brûlée",), "creme-brulee"),\n(("  a  --  b ",), "a-b"),\n(("",), ""),',
    laws="""
def test_a_slug_stays_as_it_is(self) -> None:
    self.assertEqual(slugify(slugify("Some Title 2")), slugify("Some Title 2"))
""",
)

LEVENSHTEIN = Recipe(
    name="edit_distance",
    words=r"levenshtein|edit distance",
    does="the smallest number of edits between two texts",
    source='''
def edit_distance(first: str, second: str) -> int:
    """How many single characters must be inserted, deleted or replaced to turn one text into the other (Levenshtein)."""
    previous = list(range(len(second) + 1))
    for row, char in enumerate(first, start=1):
        current = [row]
        for column, other in enumerate(second, start=1):
            replaced = previous[column - 1] + (char != other)
            current.append(min(replaced, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]
''',
    cases='(("kitten", "sitting"), 3),\n(("", "abc"), 3),\n(("same", "same"), 0),\n(("flaw", "lawn"), 2),',
    laws="""
def test_the_distance_is_the_same_in_both_directions(self) -> None:
    for first, second in (("kitten", "sitting"), ("a", ""), ("flaw", "lawn")):
        self.assertEqual(edit_distance(first, second), edit_distance(second, first))
""",
)

BRACKETS = Recipe(
    name="are_brackets_balanced",
    words=r"(?:balanced?|valid|matching) (?:brackets?|parenthes[ei]s|braces?)|(?:brackets?|parenthes[ei]s) (?:are )?balanced?",
    does="whether all brackets of a text are closed in the right order",
    source='''
PAIRS = {")": "(", "]": "[", "}": "{"}


def are_brackets_balanced(text: str) -> bool:
    """Whether every (, [ and { is closed by its partner in the right order. Other characters do not count."""
    open_brackets: list[str] = []
    for char in text:
        if char in PAIRS.values():
            open_brackets.append(char)
        elif char in PAIRS and (not open_brackets or open_brackets.pop() != PAIRS[char]):
            return False
    return not open_brackets
''',
    cases='(("([]{})",), True),\n(("(]",), False),\n(("(",), False),\n((")",), False),\n(("f(x[0])",), True),\n(("",), True),',
    laws="""
def test_what_is_balanced_stays_balanced_inside_brackets(self) -> None:
    self.assertTrue(are_brackets_balanced("(" + "[{}]" * 50 + ")"))
""",
)

TEXT_RECIPES = (
    IS_PALINDROME,
    IS_ANAGRAM,
    REVERSE_WORDS,
    COUNT_WORDS,
    COUNT_VOWELS,
    CAESAR,
    SLUGIFY,
    LEVENSHTEIN,
    BRACKETS,
)
