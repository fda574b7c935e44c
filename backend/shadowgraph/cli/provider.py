"""Asks the provider whether the key works, for `doctor --live`."""

import httpx

from shadowgraph.cli.checks import Check
from shadowgraph.core.settings import Settings

GROQ_URL = "https://api.groq.com"
TIMEOUT_SECONDS = 10.0
_API_PATH = "/openai/v1"


async def check_key_live(settings: Settings) -> Check:
    """Asks for the list of models, which costs nothing."""
    base = settings.groq_base_url.rstrip("/").removesuffix(_API_PATH) or GROQ_URL
    headers = {"authorization": f"Bearer {settings.groq_api_key.get_secret_value()}"}
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
            answer = await http.get(f"{base}{_API_PATH}/models", headers=headers)
    except httpx.HTTPError as error:
        return Check(
            "FAIL", f"model: {base} does not answer: {type(error).__name__}", "check the network and GROQ_BASE_URL"
        )
    return judge_models(answer, model=settings.groq_model)


def judge_models(answer: httpx.Response, *, model: str) -> Check:
    if answer.status_code in (401, 403):
        return Check("FAIL", "model: the provider refuses GROQ_API_KEY", "make a new key at console.groq.com/keys")
    if not answer.is_success:
        return Check("WARN", f"model: the provider answers {answer.status_code}", "try again later")
    try:
        names = {item["id"] for item in answer.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return Check("WARN", "model: what answers is no list of models", "check GROQ_BASE_URL")
    if model not in names:
        return Check("WARN", f"model: the provider does not list {model}", "set GROQ_MODEL to one that it lists")
    return Check("ok", f"model: the key works, {model} is there")
