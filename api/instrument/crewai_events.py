"""Which events of CrewAI are recorded, and what of them. Needs `crewai`."""

from __future__ import annotations

from typing import Any, NamedTuple

from crewai import events  # type: ignore[import-not-found]  # an extra that is not among what develops this


class Scope(NamedTuple):
    """What begins with an event and ends with one of others."""

    kind: str
    begins: type[Any]
    completes: type[Any]
    fails: type[Any] | None
    name: str
    """Where its name stands in the first event: attributes or keys, with dots between."""
    inputs: tuple[str, ...]
    """What of the first event is kept, likewise."""
    results: tuple[str, ...]
    """What of the last event is kept, likewise."""


SCOPES = (
    Scope(
        "crew", events.CrewKickoffStartedEvent, events.CrewKickoffCompletedEvent, events.CrewKickoffFailedEvent,
        "crew_name", ("inputs",), ("output",),
    ),
    Scope(
        "flow", events.FlowStartedEvent, events.FlowFinishedEvent, events.FlowFailedEvent,
        "flow_name", ("inputs",), ("result",),
    ),
    Scope(
        "method", events.MethodExecutionStartedEvent, events.MethodExecutionFinishedEvent,
        events.MethodExecutionFailedEvent, "method_name", ("params",), ("result",),
    ),
    Scope(
        "task", events.TaskStartedEvent, events.TaskCompletedEvent, events.TaskFailedEvent,
        "task_name", ("task.description", "task.expected_output", "task.agent.role"), ("output",),
    ),
    Scope(
        "agent", events.AgentExecutionStartedEvent, events.AgentExecutionCompletedEvent,
        events.AgentExecutionErrorEvent, "agent.role", ("task_prompt",), ("output",),
    ),
    Scope(
        "agent", events.LiteAgentExecutionStartedEvent, events.LiteAgentExecutionCompletedEvent,
        events.LiteAgentExecutionErrorEvent, "agent_info.role", ("messages",), ("output",),
    ),
    Scope(
        "tool", events.ToolUsageStartedEvent, events.ToolUsageFinishedEvent, events.ToolUsageErrorEvent,
        "tool_name", ("tool_args", "agent_role"), ("output",),
    ),
    Scope(
        "llm", events.LLMCallStartedEvent, events.LLMCallCompletedEvent, events.LLMCallFailedEvent,
        "model", ("messages", "agent_role"), ("response", "usage"),
    ),
    Scope(
        "guardrail", events.LLMGuardrailStartedEvent, events.LLMGuardrailCompletedEvent, None,
        "guardrail_name", ("guardrail", "retry_count"), ("result",),
    ),
    Scope(
        "reasoning", events.AgentReasoningStartedEvent, events.AgentReasoningCompletedEvent,
        events.AgentReasoningFailedEvent, "agent_role", ("attempt",), ("plan",),
    ),
    Scope(
        "memory", events.MemoryQueryStartedEvent, events.MemoryQueryCompletedEvent, events.MemoryQueryFailedEvent,
        "type", ("query", "limit"), ("results",),
    ),
    Scope(
        "memory", events.MemorySaveStartedEvent, events.MemorySaveCompletedEvent, events.MemorySaveFailedEvent,
        "type", ("value",), (),
    ),
    Scope(
        "memory", events.MemoryRetrievalStartedEvent, events.MemoryRetrievalCompletedEvent,
        events.MemoryRetrievalFailedEvent, "type", (), ("memory_content",),
    ),
    Scope(
        "knowledge", events.KnowledgeQueryStartedEvent, events.KnowledgeQueryCompletedEvent,
        events.KnowledgeQueryFailedEvent, "type", ("task_prompt",), ("query",),
    ),
    Scope(
        "knowledge", events.KnowledgeRetrievalStartedEvent, events.KnowledgeRetrievalCompletedEvent,
        events.KnowledgeSearchQueryFailedEvent, "type", (), ("query", "retrieved_knowledge"),
    ),
    Scope(
        "mcp", events.MCPToolExecutionStartedEvent, events.MCPToolExecutionCompletedEvent,
        events.MCPToolExecutionFailedEvent, "tool_name", ("server_name", "tool_args"), ("result",),
    ),
    Scope(
        "mcp", events.MCPConnectionStartedEvent, events.MCPConnectionCompletedEvent, events.MCPConnectionFailedEvent,
        "server_name", ("server_url", "transport_type"), (),
    ),
)  # fmt: skip
"""What is recorded, as runs or as steps."""

REMARKS: dict[type[Any], tuple[str, str]] = {
    events.ToolFailureDetectedEvent: ("warning", "failure.message"),
    events.ToolSelectionErrorEvent: ("error", "error"),
    events.ToolValidateInputErrorEvent: ("error", "error"),
    events.ToolExecutionErrorEvent: ("error", "error"),
    events.MCPConfigFetchFailedEvent: ("error", "error"),
    events.HumanFeedbackRequestedEvent: ("info", "message"),
    events.HumanFeedbackReceivedEvent: ("info", "feedback"),
}
"""What is noted: how serious it is, and where its text stands."""
