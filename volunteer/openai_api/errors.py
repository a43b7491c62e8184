"""What went wrong, in OpenAI's words: status, type and code. Knows our errors, and no requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from volunteer.client.chat import BadPrompt, PromptTooLong
from volunteer.errors import Unavailable, UserError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable_error",
}


class ApiError(Exception):
    """An answer that says what is wrong.

    Args:
        status: of HTTP.
        message: a whole sentence.
        code: by which programs can tell what it is.
        param: which parameter of the request is at fault.
        headers: of the answer, beside the usual.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """As OpenAI's clients expect it, in an answer of its own and in the midst of a stream."""
        kind = _TYPES.get(self.status, "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}


def of_exception(error: Exception) -> ApiError:
    """What a caller is told of an error; of our own bugs, no more than that there was one."""
    match error:
        case ApiError():
            return error
        case PromptTooLong():
            return ApiError(400, str(error), code="context_length_exceeded", param="max_tokens")
        case BadPrompt():
            return ApiError(400, str(error), code="invalid_prompt")
        case Unavailable():
            return ApiError(503, str(error), code="unavailable")
        case UserError():
            return ApiError(500, str(error))
        case _:
            return ApiError(500, "The request failed, by a fault of this program: its log says more.")


def of_validation(error: ValidationError) -> ApiError:
    """The first of the problems that a request has."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return ApiError(400, f"The request is not valid JSON: {first['msg']}.", code="invalid_json")
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return ApiError(400, f"{where}: {message}." if where else f"{message}.", param=where or None, code="invalid_value")
