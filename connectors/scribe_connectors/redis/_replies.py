"""What became of a batch's records, by the replies to its commands."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from scribe_connectors.redis._client import Replies
from scribe_connectors.redis._errors import classify
from scribe_export.errors import Misconfigured, PartialFailure, SinkError, Transient
from scribe_export.parts import one_for_all


def outcomes(members: Sequence[Sequence[int]], replies: Replies) -> tuple[list[int], dict[int, SinkError]]:
    """The records whose commands were answered well, and what became of the others."""
    acked: list[int] = []
    errors: dict[int, SinkError] = {}
    for position, group in enumerate(members):
        if position >= len(replies.answers):
            errors.update(dict.fromkeys(group, replies.broken or Transient("the answer is missing")))
            continue
        answer = replies.answers[position]
        if isinstance(answer, Exception):
            errors.update(dict.fromkeys(group, classify(answer) or Transient(str(answer))))
        else:
            acked.extend(group)
    if replies.broken and replies.broken.applied == "no" and not isinstance(replies.broken, Misconfigured):
        # It was the answer to one command; the commands after it may have fared better.
        first = len(replies.answers)
        later = [index for group in members[first + 1 :] for index in group]
        errors.update(dict.fromkeys(later, Transient(f"no answer after {replies.broken}")))
    return acked, errors


def failure(acked: Sequence[int], errors: Mapping[int, SinkError]) -> SinkError:
    one = one_for_all(errors.values()) if not acked else None
    return one or PartialFailure(acked, errors)


def same(found: Any, document: bytes) -> bool:
    """Whether a key's value, or the error that it is no text, is this document."""
    if isinstance(found, Exception):
        return False
    if found == document:
        return True
    try:
        return bool(msgspec.json.decode(found) == msgspec.json.decode(document))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def answer(kind: str, answers: Sequence[Any]) -> str:
    if not answers:
        return ""
    if kind == "list":
        return f"list length {answers[0]}"
    if kind == "stream":
        return f"{len(answers)} entries to {answers[-1].decode()}"
    if kind == "channel":
        return f"{len(answers)} messages, heard by {min(answers)} to {max(answers)}"
    there = sum(answer is None for answer in answers)
    return f"{len(answers)} keys" + (f", {there} of them there already" if there else "")
