"""Numbers for Prometheus about the endpoint."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from volunteer.client.chat import Answer

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
METRICS_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """Of one endpoint: not in the registry that all of a process shares, so that there can be several.

    Args:
        num_asked: answers that are under way or wait, for whomever.
        is_open: whether the model is in memory.
    """

    def __init__(self, num_asked: Callable[[], int], is_open: Callable[[], bool]):
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "volunteer_api_requests", "Requests answered", ("path", "status"), registry=self._registry
        )
        self.request_s = Histogram(
            "volunteer_api_request_seconds",
            "From a request to the end of its answer",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.running = Gauge("volunteer_api_requests_running", "Requests being answered", registry=self._registry)
        self._first_token_s = Histogram(
            "volunteer_api_first_token_seconds",
            "From an answer's turn to its first token",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._prompt_tokens = Counter("volunteer_api_prompt_tokens", "Tokens of prompts", registry=self._registry)
        self._new_tokens = Counter("volunteer_api_generated_tokens", "Tokens generated", registry=self._registry)
        self._answers = Counter(
            "volunteer_api_answers", "Answers, by why they ended", ("finish_reason",), registry=self._registry
        )
        asked = Gauge("volunteer_answers_asked", "Answers under way or waiting", registry=self._registry)
        asked.set_function(num_asked)
        loaded = Gauge("volunteer_answers_model_open", "1 while the model is in memory", registry=self._registry)
        loaded.set_function(is_open)

    def count(self, answer: Answer) -> None:
        """Adds an answer that has ended."""
        self._answers.labels(answer.finish_reason).inc()
        self._prompt_tokens.inc(answer.prompt_tokens)
        self._new_tokens.inc(len(answer.token_ids))
        if answer.token_ids:
            self._first_token_s.observe(answer.first_token_s)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
