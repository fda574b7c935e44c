import pytest

from shadowgraph.llm.offline.templates.entity import Entity, read_entity
from shadowgraph.llm.offline.templates.fields import guess_kind


def described(entity: Entity) -> str:
    fields = [f"{field.name}:{field.kind}{'' if field.is_required else '?'}" for field in entity.fields]
    return f"{entity.name} {' '.join(fields)}"


@pytest.mark.parametrize(
    ("request_text", "expected"),
    [
        (
            "Build a REST API for managing books with title, author and year",
            "book title:text author:text year:integer",
        ),
        (
            "Create a CRUD API to manage employees (name, salary, hire date) with tests",
            "employee name:text salary:number hire_date:date",
        ),
        (
            "I need a backend for tracking expenses: amount, category, date",
            "expense amount:number category:text date:date",
        ),
        (
            "Make an inventory system for products with fields: name, price, quantity",
            "product name:text price:number quantity:integer",
        ),
        ("REST API for a library: books have title, author, isbn", "book title:text author:text isbn:text"),
        (
            "build an API that stores movies, each with a title, a director and a release year",
            "movie title:text director:text release_year:integer",
        ),
        (
            "API for books. Fields: title, author, year (int), price:float, in_stock boolean",
            "book title:text author:text year:integer price:number in_stock:flag",
        ),
        ("customer management API with name, email and phone", "customer name:text email:email phone:text"),
        (
            "Baue eine REST-API zur Verwaltung von Büchern mit Titel, Autor und Jahr",
            "buch titel:text autor:text jahr:integer",
        ),
        (
            "Crea una API REST para gestionar libros con título, autor y año",
            "libro titulo:text autor:text anio:integer",
        ),
        (
            "Crée une API REST pour gérer des livres avec titre, auteur et année",
            "livre titre:text auteur:text annee:integer",
        ),
        (
            "Build an API for books.\nFields:\n- title\n- author\n- year (int)\n- optional description",
            "book title:text author:text year:integer description:text?",
        ),
        (
            "REST API for a library of books with title and author using FastAPI and SQLite",
            "book title:text author:text",
        ),
        (
            "API to manage blog posts with title, published flag, created_at and tags",
            "blog_post title:text published:flag created_at:date tags:text",
        ),
        (
            "Build an API. Each user has name, email, age and is_admin.",
            "user name:text email:email age:integer is_admin:flag",
        ),
        ("Write a REST API 🚀 for 🐶 dogs with name, breed, and age!!!", "dog name:text breed:text age:integer"),
        (
            "a REST service to keep track of my vinyl records with artist, album title and release year, with unit tests",
            "vinyl_record artist:text album_title:text release_year:integer",
        ),
        ("crud for class with import, def, year", "class_ import_:text def_:text year:integer"),
        ("points API with x, y and z", "point x:text y:text z:text"),
    ],
)
def test_entity_and_fields_are_read_from_many_phrasings(request_text: str, expected: str) -> None:
    entity = read_entity(request_text)

    assert described(entity) == expected
    assert entity.is_named
    assert entity.has_own_fields


@pytest.mark.parametrize(
    "request_text", ["Create a REST API", "建一个管理书籍的API，字段有标题、作者", "", "API 🎉🎉🎉"]
)
def test_what_is_not_named_is_chosen_and_marked_as_chosen(request_text: str) -> None:
    entity = read_entity(request_text)

    assert entity.name == "item"
    assert not entity.is_named
    assert not entity.has_own_fields


def test_known_things_get_their_usual_fields() -> None:
    assert described(read_entity("REST API for managing books")) == "book title:text author:text year:integer"


def test_something_is_always_required() -> None:
    entity = read_entity("API for notes with optional title and optional body")

    assert [field.is_required for field in entity.fields] == [True, False]


def test_a_long_list_is_cut() -> None:
    names = ", ".join(f"field{letter}" for letter in "abcdefghijklmnopqrst")

    assert len(read_entity(f"API for things with {names}").fields) == 12


@pytest.mark.parametrize(("singular", "plural"), [("category", "categories"), ("box", "boxes"), ("person", "people")])
def test_the_path_has_the_plural(singular: str, plural: str) -> None:
    assert read_entity(f"API for {plural}").name == singular
    assert read_entity(f"API for managing a {singular}").plural == plural


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("year", "integer"),
        ("page_count", "integer"),
        ("number_of_seats", "integer"),
        ("phone_number", "text"),
        ("price", "number"),
        ("is_open", "flag"),
        ("in_stock", "flag"),
        ("done", "flag"),
        ("due_date", "date"),
        ("created_at", "date"),
        ("email", "email"),
        ("title", "text"),
    ],
)
def test_the_kind_of_a_field_is_guessed_from_its_name(name: str, kind: str) -> None:
    assert guess_kind(name) == kind
