from __future__ import annotations

from pathlib import Path

from volunteer.client.conversation_export import to_markdown
from volunteer.client.conversation_store import ConversationStore
from volunteer.client.conversation_values import Figures, State


def test_the_current_branch_as_markdown(tmp_path: Path) -> None:
    store = ConversationStore.of(tmp_path / "c.sqlite", clock=lambda: 0.0)
    conversation = store.create(model="bloom", title="Of *stars*", system_prompt="Be brief.")
    first = store.ask(conversation.id, "Show me code.")
    store.end(first.answer.id, State.STOPPED, piece="```python\nprint()", figures=Figures())
    second = store.ask(conversation.id, "More.")
    store.end(second.answer.id, State.FAILED, note="No route: nobody serves block 3.", figures=Figures())
    first_line, made, *rest = to_markdown(store.branch(conversation.id)).split("\n\n")
    assert first_line == r"# Of \*stars\*"
    assert made.startswith("bloom, 19")
    assert rest == [
        "## System prompt",
        "Be brief.",
        "## Question",
        "Show me code.",
        "## Answer",
        "```python\nprint()\n```",
        "*Stopped.*",
        "## Question",
        "More.",
        "## Answer",
        "*The answer failed. No route: nobody serves block 3.*\n",
    ]
    store.close()
