"""The shapes in which the nodes ask their models to answer. Descriptions are part of the prompt."""

from typing import Literal

from pydantic import BaseModel, Field


class Source(BaseModel):
    title: str = Field(description="Title of the page.")
    url: str = Field(description="Its address, copied from the search results.")


class ResearchNotes(BaseModel):
    """What is known about the request before anybody plans."""

    summary: str = Field(description="What the user wants and what matters about it, in two to five sentences.")
    facts: list[str] = Field(default_factory=list, description="Facts that the plan and the answer depend on.")
    needs_search: bool = Field(
        default=False,
        description="True only when the request cannot be served well without current or outside knowledge.",
    )
    queries: list[str] = Field(
        default_factory=list, description="One to three web searches, when a search is needed; otherwise empty."
    )
    sources: list[Source] = Field(
        default_factory=list, description="Search results that the facts rest on; empty without search results."
    )
    open_questions: list[str] = Field(default_factory=list, description="What stays unknown or was assumed.")


class PlanStep(BaseModel):
    title: str = Field(description="What is done, starting with a verb.")
    detail: str = Field(default="", description="How, and what the outcome has to satisfy.")


class PlannedFile(BaseModel):
    path: str = Field(description="Relative path with forward slashes.")
    purpose: str = Field(default="", description="What the file is responsible for.")


class Plan(BaseModel):
    """How the request is served."""

    kind: Literal["build", "answer"] = Field(
        description="`build` when the user wants files (code, configuration, a document); `answer` for a question that text answers."
    )
    goal: str = Field(description="The outcome that the user wants, as one sentence.")
    steps: list[PlanStep] = Field(description="The work in order.")
    files: list[PlannedFile] = Field(
        default_factory=list, description="Every file to be written, tests included; empty for kind `answer`."
    )
    acceptance: list[str] = Field(
        default_factory=list, description="Statements that can be checked and are true when the work is done."
    )


class Validation(BaseModel):
    """The plan seen by a second pair of eyes, and the design that the code follows."""

    approved: bool = Field(description="False when the plan misses or contradicts something in the request.")
    problems: list[str] = Field(
        default_factory=list, description="What is wrong with the plan, each with the correction to follow."
    )
    architecture: str = Field(
        description="Modules, their responsibilities, the public functions with their signatures, and how data flows."
    )
    decisions: list[str] = Field(default_factory=list, description="Choices that were open, with the reason.")
    risks: list[str] = Field(
        default_factory=list, description="What is likely to go wrong, and how the code prevents it."
    )
