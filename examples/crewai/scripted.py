"""A model that says what it was told to say: no network, no key, the same every time."""

from __future__ import annotations

import threading
from typing import Any

from crewai.events.types.llm_events import LLMCallType
from crewai.llms.base_llm import BaseLLM, llm_call_context
from pydantic import Field


class Scripted(BaseLLM):
    """Gives its answers one after the other, raising those that are exceptions, and then the last one for ever."""

    answers: list[Any] = Field(default_factory=list)
    lock: Any = None

    def model_post_init(self, context: Any, /) -> None:
        """Tasks may run in threads."""
        super().model_post_init(context)
        self.lock = threading.Lock()

    def call(self, messages: Any, *args: Any, **options: Any) -> Any:
        """Answer, and tell CrewAI's event bus of it as models of its own do."""
        said = {"from_task": options.get("from_task"), "from_agent": options.get("from_agent")}
        with llm_call_context():
            self._emit_call_started_event(messages=messages, **said)
            with self.lock:
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if isinstance(answer, Exception):
                self._emit_call_failed_event(error=str(answer), **said)
                raise answer
            self._emit_call_completed_event(
                response=answer, call_type=LLMCallType.LLM_CALL, messages=messages, usage={"total_tokens": 7}, **said
            )
            return answer


def final(answer: str) -> str:
    """What ends the work of an agent."""
    return f"Thought: I know it.\nFinal Answer: {answer}"


def use(tool: str, arguments: str) -> str:
    """What makes an agent use a tool; `arguments` is JSON."""
    return f"Thought: I need it.\nAction: {tool}\nAction Input: {arguments}\n"
