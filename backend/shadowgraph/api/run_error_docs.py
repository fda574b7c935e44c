"""What the errors of failed runs mean: title, meaning, remedy. Projects raise errors of their own beside these."""

from collections.abc import Mapping

RUN_ERRORS: Mapping[str, tuple[str, str, str]] = {
    "node_failed": (
        "A node of the graph failed",
        "The graph's own code raised an exception; `exception` and `where` name it.",
        "Correct the graph and start the run again.",
    ),
    "step_limit": (
        "The graph did not come to its end",
        "The graph made as many supersteps as the run allows.",
        "Look for a loop without a way out, or raise max_steps.",
    ),
    "worker_lost": (
        "Workers died over this run",
        "Several workers in a row ended without a word while they had this run.",
        "Look into the workers' logs: the run may need more memory than they have.",
    ),
    "state_not_storable": (
        "The state cannot be stored",
        "The graph's state holds something that no database takes, such as a number out of range.",
        "Correct the node that writes it.",
    ),
    "state_too_large": (
        "The state is too large",
        "The graph's state is larger than a checkpoint may be: 5 MB, or what MAX_STATE_BYTES says.",
        "Keep large values as artifacts and only their names in the state.",
    ),
    "result_too_large": (
        "The result is too large",
        "The graph's output is larger than a result may be: 1 MB, or what MAX_OUTPUT_BYTES says.",
        "Keep large values as artifacts and only their names in the output.",
    ),
    "budget_exceeded": (
        "A budget has no room for the next call",
        "The next call might cost more than a budget has left: `spent_usd`, `held_usd` for calls under way, and `needed_usd` for the call.",
        "Raise the limit (budget_id names it), then resume the run; what it has paid stays paid.",
    ),
    "budget_fall_back": (
        "No target of the route fits the budget",
        "The budget wants a cheaper target, and the route has none that its remaining money pays for.",
        "Raise the limit, or add a cheaper target to the route; then resume the run.",
    ),
    "price_unknown": (
        "Nobody knows the model's price",
        "A budget that stops cannot be kept with a model whose price is unknown, so the call was not made.",
        "Set a price with `shadowgraph prices set` (0 for a model of your own), then resume the run.",
    ),
    "stopped_early": (
        "The graph stopped before its end",
        "The graph's stream ended although nodes were still due: the loaded graph and the checkpoint do not fit together.",
        "Deploy the code that the run began with, then retry the run.",
    ),
    "deadline": (
        "The deadline has passed",
        "The run was not finished within its timeout_s.",
        "Start it again with a longer timeout_s, or find out what took so long in its steps.",
    ),
    "unanswered": (
        "Nobody answered in time",
        "The graph asked a person, the question's deadline passed, and it has no default answer.",
        "Start the run again, or give the question a default or a later deadline.",
    ),
    "invalid_seed": (
        "The checkpoint cannot be continued",
        "The checkpoint to fork is gone, or the edited state does not fit the graph.",
        "List the parent's checkpoints and fork one of them; edit only the keys that its state has.",
    ),
    "circuit_open": (
        "The model keeps failing and is left alone",
        "Each target of the route failed too often in a row. A run waits, parked, until one may be tried again; this is its reason meanwhile.",
        "Wait, or add a target to the route: shadowgraph routes set. GET /health/breakers shows which ones are left alone.",
    ),
    "unknown_route": (
        "There is no such route",
        "An agent names a route that nobody has made.",
        "Make it with shadowgraph routes set, or name a model as provider:model.",
    ),
    "mixed_models": (
        "Rules and a language model would be mixed",
        "A provider is set up for some of the routes and models that the run asks for, and the offline model would answer for others.",
        "Set up a provider for all of them, or for none: GET /routes says what each lacks.",
    ),
    "provider_quota": (
        "The provider's account is used up",
        "The model's provider wants to be paid before it answers.",
        "Fill up the account with the provider.",
    ),
    "rate_limited": (
        "The provider's rate limit was reached",
        "The provider refused more requests for now.",
        "Try again later, or raise the limit with the provider.",
    ),
    "provider_error": (
        "The provider failed",
        "The model's provider answered with an error.",
        "Read `detail`; try again later.",
    ),
    "provider_unavailable": (
        "The provider is unavailable",
        "The model's provider answered with a server error, again and again.",
        "Try again later.",
    ),
    "provider_unreachable": (
        "The provider cannot be reached",
        "No connection to the model's provider came about.",
        "Check the network and the provider's base URL.",
    ),
    "provider_timeout": (
        "The provider took too long",
        "The model's provider did not answer in time.",
        "Try again later, or ask for less at once.",
    ),
    "provider_auth": (
        "The provider refused the key",
        "The model's provider did not accept the API key.",
        "Correct the key, such as GROQ_API_KEY, and start the server again.",
    ),
    "provider_refused": (
        "The provider refused the request",
        "The model's provider cannot process the request as it was sent.",
        "Read `detail`; the prompt, the parameters or the model may be at fault.",
    ),
    "broken_stream": (
        "The answer broke off",
        "The connection to the model's provider broke in the middle of an answer, again and again.",
        "Try again later.",
    ),
    "context_too_long": (
        "The prompt is too long for the model",
        "The model takes fewer tokens than the messages have.",
        "Send less, or choose a model with a larger context.",
    ),
    "model_gone": (
        "The model does not exist",
        "The provider does not know the model, or no longer.",
        "Choose another one, for Groq with GROQ_MODEL.",
    ),
    "answer_refused": (
        "The model's answer does not fit",
        "The model did not give an answer of the asked shape, again and again.",
        "Simplify the shape or the prompt, or choose another model.",
    ),
    "tool_use_failed": (
        "The model misused a tool",
        "The provider could not read the tool call that its model wrote.",
        "Try again, or choose another model.",
    ),
    "no_provider": (
        "No provider serves this model",
        "The graph names a model whose provider is not set up.",
        "Set the provider's key.",
    ),
    "bad_model_name": ("The model's name is not one", "A model is named as provider:model.", "Correct the name."),
    "request_too_large": (
        "The request to the model is too large",
        "The messages of one call are larger than allowed.",
        "Send less at once.",
    ),
    "tool_failed": ("A tool failed", "The tool ended with an error; `detail` says which.", "Read `detail`."),
    "tool_in_doubt": (
        "Nobody knows whether a tool did its work",
        "A tool that changes something was cut off in the middle. A person was asked and gave it up, or there was no node that could ask.",
        "Look at what the tool changes. `runs retry` asks again.",
    ),
    "unknown_tool": ("There is no such tool", "The graph asks for a tool that is not registered.", "Correct its name."),
    "tool_not_granted": (
        "The agent may not call this tool",
        "`shadowgraph.toml` lists the tools that the agent may call, and this one is not among them.",
        "Add it to `tools` of the agent, or do not call it.",
    ),
    "invalid_tool_arguments": (
        "The tool's arguments do not fit",
        "The arguments do not fit the tool's schema.",
        "Correct the node that calls the tool.",
    ),
    "unknown_prompt": (
        "There is no such prompt",
        "The project has no prompt file with this name.",
        "Add it to the project's prompts.",
    ),
    "invalid_prompt": (
        "The prompt cannot be filled",
        "A prompt file names a value that the node did not give.",
        "Correct the prompt or the node.",
    ),
    "unsafe_path": (
        "The file name is not safe",
        "A node wanted to keep a file under a name that climbs out of its folder or cannot stand in a file system.",
        "Use a relative path of plain names.",
    ),
}
