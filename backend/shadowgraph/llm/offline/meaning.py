"""What a field of a structured answer means, told by its name. Synonyms share one canonical name; a name nobody knows has no meaning and
is filled by its type."""

import re

from shadowgraph.llm.offline.task import Task

_SYNONYMS: dict[str, str] = {
    name: canonical
    for canonical, names in {
        "summary": "overview abstract synopsis tldr",
        "answer": "final_answer response reply result output final message synthesized_result assistant_message content_text",
        "description": "detail details explanation body_text instructions instruction what how",
        "title": "heading headline label caption",
        "goal": "objective outcome aim intent",
        "request": "question task user_request input prompt user_input topic subject problem_statement",
        "architecture": "architecture_notes design design_notes technical_notes blueprint structure",
        "how_to_run": "usage how_to_use run_instructions setup_instructions",
        "run_command": "command entrypoint entry_point start_command",
        "test_command": "tests_command verification_command",
        "reasoning": "rationale thought thoughts justification reason why thinking analysis",
        "feedback": "review comment comments critique assessment",
        "acceptance": "acceptance_criteria criteria criterion done_when success_criteria definition_of_done verification expected_result expected",
        "steps": "plan tasks subtasks todo todos milestones actions plan_steps items_to_do roadmap",
        "files": "artifacts code_files source_files output_files changes documents",
        "sources": "citations references links urls bibliography evidence",
        "key_points": "facts findings insights highlights takeaways points bullets observations research_findings notes_list",
        "limitations": "caveats warnings constraints shortcomings disclaimers",
        "risks": "threats dangers",
        "problems": "issues errors concerns defects violations blockers bugs",
        "open_questions": "questions unknowns assumptions clarifications gaps",
        "decisions": "choices tradeoffs trade_offs",
        "queries": "search_queries searches search_terms",
        "query": "search_query search_term q search keywords_text",
        "requirements": "features functional_requirements user_stories",
        "keywords": "tags labels topics categories",
        "commands": "shell_commands run_commands",
        "tests": "test_cases test_files",
        "dependencies": "packages libraries requirements_txt install",
        "path": "filename file_name file file_path filepath",
        "content": "body code source source_code contents file_content text_content",
        "purpose": "responsibility role_of_file",
        "language": "lang programming_language file_type",
        "url": "link href uri address website",
        "snippet": "quote excerpt",
        "number": "step step_number index order position id sequence",
        "depends_on": "dependencies_of prerequisites requires after",
        "place": "location city town country region where destination origin",
        "expression": "formula equation calculation",
        "date": "day deadline due_date start_date end_date",
        "email": "e_mail email_address mail",
        "name": "full_name customer_name username user_name product_name person",
        "confidence": "certainty probability likelihood",
        "score": "rating grade quality",
        "notes": "remarks additional_notes",
    }.items()
    for name in names.split()
}
_CANONICAL = {*_SYNONYMS.values(), "text"}
_NEGATIVE_FLAG = re.compile(
    r"(?:needs|requires?|should|must|wants)_|_(?:needed|required)$|error|fail|block|retry|refus|reject|unsafe|harmful|missing|truncat|revis|escalat|cancel|ambigu|toxic"
)
_SEARCH_FLAG = re.compile(r"search|research|web|browse|lookup|look_up|outside|external|current_information")
_CODE_FLAG = re.compile(r"code|files?$|program|build")
_TEST_FLAG = re.compile(r"tests?$|tested|has_tests")
_KNOWN_FLAG = re.compile(r"known|supported|covered|understood|in_scope")
_SYNTHETIC_FLAG = re.compile(r"synthetic|offline|rule_based")
_LLM_FLAG = re.compile(r"(?:is|real|true)_(?:llm|ai)|^llm$")
_POSITIVE_FLAG = re.compile(
    r"approv|valid|accept|^ok$|_ok$|pass|success|complete|feasible|done|ready|finished|correct|satisf"
)


def snake_case(name: str) -> str:
    """`keyPoints` and `Key points` give `key_points`."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def canonical(name: str) -> str:
    """The name under which a meaning is filed: of `final_plan_steps` it is `steps`; the name itself when it has none."""
    snake = snake_case(name)
    parts = snake.split("_")
    tails = ("_".join(parts[start:]) for start in range(len(parts)))
    return next((_SYNONYMS.get(tail, tail) for tail in tails if tail in _SYNONYMS or tail in _CANONICAL), snake)


def named_flag(name: str, task: Task) -> bool | None:
    snake = snake_case(name)
    if _SEARCH_FLAG.search(snake):
        return task.needs_search
    if _LLM_FLAG.search(snake):
        return False
    if _SYNTHETIC_FLAG.search(snake):
        return True
    if _KNOWN_FLAG.search(snake):
        return task.is_finished_program
    if _TEST_FLAG.search(snake):
        return task.program.test_command is not None
    if _CODE_FLAG.search(snake):
        return task.understanding.template != "note"
    if _NEGATIVE_FLAG.search(snake):
        return False
    return True if _POSITIVE_FLAG.search(snake) else None


def preferred_words(name: str, task: Task) -> tuple[str, ...]:
    """Which of several allowed words to choose for a field, best first."""
    if canonical(name) == "language":
        return ("python", "py") if task.program.template != "react" else ("typescript", "tsx", "javascript")
    if task.understanding.template == "note":
        return ("answer", "question", "chat", *_GOOD_WORDS)
    return ("build", "code", "create", "program", *_GOOD_WORDS)


_GOOD_WORDS = ("approved", "approve", "accept", "accepted", "pass", "passed", "ok", "yes", "success", "done", "completed", "complete", "valid", "finish", "medium", "normal", "low")  # fmt: skip
