"""Functions on numbers."""

from shadowgraph.llm.offline.templates.recipes.base import Recipe

FIBONACCI = Recipe(
    name="fibonacci",
    words=r"fib(?:onacci)?s?",
    does="the n-th Fibonacci number",
    source='''
def fibonacci(n: int) -> int:
    """The n-th Fibonacci number; fibonacci(0) is 0 and fibonacci(1) is 1.

    Takes n steps and keeps two numbers, so large n are no problem. Raises ValueError when n is negative.
    """
    if n < 0:
        raise ValueError("n must not be negative")
    current, following = 0, 1
    for _ in range(n):
        current, following = following, current + following
    return current
''',
    cases="((0,), 0),\n((1,), 1),\n((2,), 1),\n((10,), 55),\n((90,), 2880067194370816120),",
    refused="((-1,), ValueError),",
    laws="""
def test_each_number_is_the_sum_of_the_two_before_it(self) -> None:
    for n in range(2, 200):
        self.assertEqual(fibonacci(n), fibonacci(n - 1) + fibonacci(n - 2))
""",
)

IS_PRIME = Recipe(
    name="is_prime",
    words=r"(?:is[ _])?primes?(?:ality)?(?: numbers?)?",
    does="whether a number is prime",
    source='''
def is_prime(number: int) -> bool:
    """Whether a whole number is prime. Numbers below 2 are not.

    Tries divisors up to the square root, only those of the form 6k - 1 and 6k + 1.
    """
    if number < 4:
        return number >= 2
    if number % 2 == 0 or number % 3 == 0:
        return False
    divisor = 5
    while divisor * divisor <= number:
        if number % divisor == 0 or number % (divisor + 2) == 0:
            return False
        divisor += 6
    return True


def primes_up_to(limit: int) -> list[int]:
    """All primes from 2 to the limit, by the sieve of Eratosthenes."""
    is_candidate = [True] * (limit + 1)
    primes = []
    for number in range(2, limit + 1):
        if is_candidate[number]:
            primes.append(number)
            for multiple in range(number * number, limit + 1, number):
                is_candidate[multiple] = False
    return primes
''',
    cases="((2,), True),\n((3,), True),\n((25,), False),\n((49,), False),\n((97,), True),\n((7919,), True),\n((1,), False),\n((0,), False),\n((-7,), False),",
    laws="""
def test_both_ways_to_find_primes_agree(self) -> None:
    self.assertEqual(primes_up_to(500), [number for number in range(501) if is_prime(number)])

def test_there_are_no_primes_below_two(self) -> None:
    self.assertEqual(primes_up_to(1), [])
""",
)

FACTORIAL = Recipe(
    name="factorial",
    words=r"factorials?",
    does="the factorial of n",
    source='''
def factorial(n: int) -> int:
    """The product of all whole numbers from 1 to n; factorial(0) is 1. Raises ValueError when n is negative."""
    if n < 0:
        raise ValueError("n must not be negative")
    product = 1
    for factor in range(2, n + 1):
        product *= factor
    return product
''',
    cases="((0,), 1),\n((1,), 1),\n((5,), 120),\n((20,), 2432902008176640000),",
    refused="((-1,), ValueError),",
    laws="""
def test_each_factorial_is_n_times_the_one_before_it(self) -> None:
    for n in range(1, 60):
        self.assertEqual(factorial(n), n * factorial(n - 1))
""",
)

GCD = Recipe(
    name="gcd",
    words=r"gcd|lcm|greatest common (?:divisor|factor)|least common multiple",
    does="greatest common divisor and least common multiple",
    source='''
def gcd(a: int, b: int) -> int:
    """The greatest common divisor by Euclid's algorithm; never negative, and gcd(0, 0) is 0."""
    while b:
        a, b = b, a % b
    return abs(a)


def lcm(a: int, b: int) -> int:
    """The least common multiple; 0 when one of the numbers is 0."""
    return abs(a * b) // gcd(a, b) if a and b else 0
''',
    cases="((12, 18), 6),\n((18, 12), 6),\n((7, 13), 1),\n((0, 5), 5),\n((0, 0), 0),\n((-12, 18), 6),",
    laws="""
def test_divisor_and_multiple_belong_together(self) -> None:
    for a in range(1, 30):
        for b in range(1, 30):
            self.assertEqual(gcd(a, b) * lcm(a, b), a * b)

def test_a_multiple_of_zero_is_zero(self) -> None:
    self.assertEqual(lcm(0, 5), 0)
""",
)

FIZZBUZZ = Recipe(
    name="fizzbuzz",
    words=r"fizz[ -]?buzz",
    does="FizzBuzz",
    source='''
def fizzbuzz(number: int) -> str:
    """`Fizz` for multiples of 3, `Buzz` for multiples of 5, `FizzBuzz` for both, else the number."""
    words = ("Fizz" if number % 3 == 0 else "") + ("Buzz" if number % 5 == 0 else "")
    return words or str(number)
''',
    cases='((1,), "1"),\n((3,), "Fizz"),\n((5,), "Buzz"),\n((15,), "FizzBuzz"),\n((98,), "98"),',
    laws="""
def test_the_pattern_repeats_every_fifteen_numbers(self) -> None:
    for number in range(1, 100):
        self.assertEqual(fizzbuzz(number).isdigit(), fizzbuzz(number + 15).isdigit())
""",
)

IS_LEAP_YEAR = Recipe(
    name="is_leap_year",
    words=r"leap years?",
    does="whether a year has a 29th of February",
    source='''
def is_leap_year(year: int) -> bool:
    """By the rules of the Gregorian calendar: every fourth year, but of the centuries only every fourth."""
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
''',
    cases="((2024,), True),\n((2023,), False),\n((1900,), False),\n((2000,), True),",
    laws="""
def test_there_are_97_leap_years_in_400(self) -> None:
    self.assertEqual(sum(is_leap_year(year) for year in range(1600, 2000)), 97)
""",
)

TEMPERATURE = Recipe(
    name="celsius_to_fahrenheit",
    words=r"celsius|fahrenheit|temperature conver\w+",
    does="conversion between Celsius and Fahrenheit",
    source='''
ABSOLUTE_ZERO_CELSIUS = -273.15


def celsius_to_fahrenheit(celsius: float) -> float:
    """Raises ValueError below absolute zero."""
    if celsius < ABSOLUTE_ZERO_CELSIUS:
        raise ValueError(f"{celsius} degrees Celsius is below absolute zero")
    return celsius * 9 / 5 + 32


def fahrenheit_to_celsius(fahrenheit: float) -> float:
    """Raises ValueError below absolute zero."""
    celsius = (fahrenheit - 32) * 5 / 9
    if celsius < ABSOLUTE_ZERO_CELSIUS - 1e-9:
        raise ValueError(f"{fahrenheit} degrees Fahrenheit is below absolute zero")
    return celsius
''',
    cases="((0,), 32.0),\n((100,), 212.0),\n((-40,), -40.0),",
    refused="((-300,), ValueError),",
    laws="""
def test_there_and_back_gives_the_same_temperature(self) -> None:
    for celsius in range(-273, 1000, 7):
        self.assertAlmostEqual(fahrenheit_to_celsius(celsius_to_fahrenheit(celsius)), celsius)
""",
)

DIGIT_SUM = Recipe(
    name="digit_sum",
    words=r"digit sums?|sum of (?:the |its |all )?digits|digital root",
    does="the sum of the digits of a number",
    source='''
def digit_sum(number: int) -> int:
    """The sum of the decimal digits; the sign is ignored."""
    rest, total = abs(number), 0
    while rest:
        rest, digit = divmod(rest, 10)
        total += digit
    return total
''',
    cases="((0,), 0),\n((7,), 7),\n((1984,), 22),\n((-305,), 8),",
    laws="""
def test_a_number_and_its_digit_sum_leave_the_same_rest_by_nine(self) -> None:
    for number in range(500):
        self.assertEqual(digit_sum(number) % 9, number % 9)
""",
)

ROMAN = Recipe(
    name="to_roman",
    words=r"roman (?:numerals?|numbers?)",
    does="conversion to and from Roman numerals",
    source='''
SYMBOLS = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
    (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


def to_roman(number: int) -> str:
    """The Roman numeral of a number from 1 to 3999. Raises ValueError for others."""
    if not 1 <= number <= 3999:
        raise ValueError("Roman numerals go from 1 to 3999")
    numeral = ""
    for value, symbol in SYMBOLS:
        count, number = divmod(number, value)
        numeral += symbol * count
    return numeral


def from_roman(numeral: str) -> int:
    """The number of a Roman numeral. Raises ValueError when it is not written the usual way."""
    rest, number = numeral.upper(), 0
    for value, symbol in SYMBOLS:
        while rest.startswith(symbol):
            number, rest = number + value, rest[len(symbol) :]
    if rest or not 1 <= number <= 3999 or to_roman(number) != numeral.upper():
        raise ValueError(f"{numeral!r} is not a Roman numeral")
    return number
''',
    cases='((1,), "I"),\n((4,), "IV"),\n((49,), "XLIX"),\n((1984,), "MCMLXXXIV"),\n((3999,), "MMMCMXCIX"),',
    refused="((0,), ValueError),\n((4000,), ValueError),",
    laws="""
def test_every_numeral_can_be_read_back(self) -> None:
    for number in range(1, 4000):
        self.assertEqual(from_roman(to_roman(number)), number)

def test_what_is_no_numeral_is_refused(self) -> None:
    for text in ("", "IIII", "VX", "ABC"):
        with self.subTest(text=text), self.assertRaises(ValueError):
            from_roman(text)
""",
)

NUMBER_RECIPES = (FIBONACCI, IS_PRIME, FACTORIAL, GCD, FIZZBUZZ, IS_LEAP_YEAR, TEMPERATURE, DIGIT_SUM, ROMAN)
